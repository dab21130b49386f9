"""One netlist placed and routed several times, until a placement reaches its clock.

How fast a routed design is depends on where the placer begins. Which placement is taken does not depend on how many
processors there are: it is the first, by number, that reaches the clock.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from hwgen.device.clocks import Clock


@dataclass(frozen=True)
class Placed:
    """What is in ``folder`` reaches the clock ``reached``; ``report`` is the router's own."""

    folder: Path
    reached: Clock
    report: dict[str, Any]


@dataclass(frozen=True)
class Placements:
    """Placements of the files in ``folder``: ``place(folder, seed, stop)`` makes one in a folder of its own, and ends
    early when ``stop`` is set. ``missed`` is told the best clock so far whenever one does not reach ``clock``."""

    folder: Path
    place: Callable[[Path, int, Event], Placed]
    clock: Clock
    missed: Callable[[Clock], None]

    def best(self, count: int, jobs: int | None = None) -> Placed:
        """The first of ``count`` that reaches the clock, else the fastest; ``jobs`` at the same time.

        Raises what ``place`` raises.
        """
        stop, jobs = Event(), min(count, jobs or os.cpu_count() or 1)
        folders = [self._copy(seed) for seed in range(1, count + 1)]
        with ThreadPoolExecutor(jobs) as pool:
            try:
                running = {
                    pool.submit(self.place, folder, seed, stop): seed for seed, folder in enumerate(folders, start=1)
                }
                return self._first(running)
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)

    def _copy(self, seed: int) -> Path:
        """A folder with the same files."""
        folder = self.folder / f"placement_{seed}"
        folder.mkdir()
        for file in self.folder.iterdir():
            if file.is_file():
                (folder / file.name).hardlink_to(file)
        return folder

    def _first(self, running: dict[Future, int]) -> Placed:
        """The result with the lowest number that reaches the clock: none with a higher one is waited for."""
        ended: dict[int, Placed] = {}
        for future in as_completed(running):
            ended[running[future]] = future.result()
            good = min((seed for seed, placed in ended.items() if placed.reached >= self.clock), default=None)
            if good is not None and all(seed in ended for seed in range(1, good)):
                return ended[good]
            if good is None:
                self.missed(max(placed.reached for placed in ended.values()))
        return max(ended.values(), key=lambda placed: placed.reached)
