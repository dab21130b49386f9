"""The least target that something reaches, looked for again and again while less and less can be reached."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Reached = TypeVar("Reached")


class Descent:
    """Targets in cycles per frame. What nothing reaches is not tried again, nor what is less: from call to call cycles
    only turn out to be more, and limits tighter."""

    def __init__(self) -> None:
        self._floor, self._began = -1, False

    def least(self, targets: Sequence[int], reach: Callable[[int], Reached | None]) -> Reached | None:
        """What reaches the least of ``targets``, rising, that ``reach`` has anything for: by halves, but at first the
        least that an earlier call has left, which mostly is the one again. Where a first target is too little, that
        anything is reached at all is made sure of before it is looked for."""
        able = [target for target in targets if target > self._floor]
        low, high, best = 0, len(able), None
        middle, self._began = (0 if self._began else high // 2), True
        while low < high:
            found = reach(able[middle])
            if found is None:
                if self._floor < 0 and middle < high - 1 and reach(able[-1]) is None:
                    self._floor = able[-1]
                    return None
                low, self._floor = middle + 1, able[middle]
            else:
                high, best = middle, found
            middle = (low + high) // 2
        return best
