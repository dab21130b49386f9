"""The least target that something reaches, looked for again and again while less and less can be reached."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TypeVar

Reached = TypeVar("Reached")


#: The targets tried first, in percent of the least: what fits mostly does so not far from it, and what is slower may
#: fit worse, for its weights are in deeper memories.
FIRST = (100, 103, 106, 112, 125, 200, 400)


class Descent:
    """Targets in cycles per frame. What nothing reaches is not tried again, nor what is less: from call to call cycles
    only turn out to be more, and limits tighter."""

    def __init__(self) -> None:
        self._floor = -1

    def least(self, targets: Sequence[int], reach: Callable[[int], Reached | None]) -> Reached | None:
        """What reaches the least of ``targets``, rising, that ``reach`` has anything for: multiples of the least and
        the last of them in turn, and then by halves. After an earlier call that mostly is the one that it has left."""
        able = [target for target in targets if target > self._floor]
        low, high, best = 0, len(able), None
        for probe in self._probes(able):
            best = reach(able[probe])
            if best is not None:
                high = probe
                break
            low = probe + 1
        while low < high:
            middle = (low + high) // 2
            found = reach(able[middle])
            low, high, best = (low, middle, found) if found is not None else (middle + 1, high, best)
        if low:
            self._floor = able[low - 1]
        return best

    def _probes(self, able: Sequence[int]) -> list[int]:
        """The numbers of the targets tried first."""
        if not able:
            return []
        last = len(able) - 1
        return sorted({last, *(min(bisect_left(able, able[0] * part // 100), last) for part in FIRST)})
