"""Frames in parts: over the processors of this machine, or over machines through Dask."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import active_children, get_context
from threading import Event
from typing import TypeVar

import numpy as np

from hwgen.graph.errors import InputError
from hwgen.tools.process import deaf

Part = TypeVar("Part")
#: What simulates frames, with a seed for pauses: it is sent to wherever that happens.
Task = Callable[[np.ndarray, int | None, Callable[[float], None]], Part]

#: Each worker gets about so many parts, that there is progress to tell, but no part has fewer frames than ``_LEAST``
#: where that leaves a worker idle: every part fills the pipeline anew.
_PARTS, _LEAST = 4, 16


@dataclass(frozen=True)
class Workers:
    """Who simulates: ``jobs`` parts of the frames at a time on this machine, or the workers of the Dask cluster with
    the scheduler at ``dask`` (as ``tcp://host:8786``), where hwgen is installed, too."""

    jobs: int = 1
    dask: str | None = None

    def __post_init__(self):
        if self.jobs < 1:
            raise InputError(f"{self.jobs} jobs cannot simulate anything; give 1 or more")
        if self.dask is not None and self.jobs > 1:
            raise InputError("--jobs counts processors of this machine, and --dask uses others; leave out one of them")

    @property
    def several(self) -> bool:
        """Whether frames are shared out at all."""
        return self.jobs > 1 or self.dask is not None

    def run(
        self,
        task: Task,
        integers: np.ndarray,
        stall: int | None,
        progress: Callable[[float], None],
        threads: bool,
    ) -> list[tuple[int, Part]]:
        """What ``task`` makes of each part of the frames ``integers``, with the number of its first frame, in order.

        Parts get seeds of their own, from ``stall`` on. ``threads`` says that threads do where there is one machine.
        Raises what the task raises; then, and on Ctrl-C, no other part is begun.
        """
        with self._executor(threads) as (executor, count):
            shares = _Shares(progress, parts := cut(len(integers), count))
            futures: dict[Future, int] = {}
            try:
                for n, (first, end) in enumerate(parts):
                    tell = shares.teller(n) if threads and self.dask is None else _silent
                    seed = None if stall is None else stall + n
                    with deaf():  # processes that are begun are ended from here, and need not hear it
                        futures[executor.submit(task, integers[first:end], seed, tell)] = n
                for future in as_completed(futures):
                    future.result()
                    shares.teller(futures[future])(1.0)
            except BaseException:
                shares.stop.set()
                executor.shutdown(wait=False, cancel_futures=True)
                raise
            return [(parts[n][0], future.result()) for future, n in futures.items()]

    @contextmanager
    def _executor(self, threads: bool) -> Iterator[tuple[Executor, int]]:
        """Something that runs tasks, and how many at a time."""
        if self.dask is not None:
            with _cluster(self.dask) as client:
                yield client.get_executor(pure=False), max(sum(client.nthreads().values()), 1)
        elif threads:
            with ThreadPoolExecutor(self.jobs) as executor:
                yield executor, self.jobs
        else:  # fresh processes: a fork would copy locks that threads of ours hold
            with _processes(self.jobs) as executor:
                yield executor, self.jobs


@contextmanager
def _processes(count: int) -> Iterator[Executor]:
    """``count`` processes, which are ended after an error and on Ctrl-C."""
    others = set(active_children())
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as executor:
        try:
            yield executor
        except BaseException:
            for process in set(active_children()) - others:
                process.kill()
            raise


HERE = Workers()


def cut(frames: int, workers: int) -> list[tuple[int, int]]:
    """(first, end) of every part."""
    least = min(_LEAST, math.ceil(frames / workers))
    size = max(math.ceil(frames / (workers * _PARTS)), least)
    return [(first, min(first + size, frames)) for first in range(0, frames, size)]


class Stopped(RuntimeError):
    """Raised in a thread whose part is no longer wanted."""


@dataclass(eq=False)
class _Shares:
    """How far all parts are."""

    progress: Callable[[float], None]
    parts: Sequence[tuple[int, int]]
    stop: Event = field(default_factory=Event)

    def __post_init__(self):
        self.done = [0.0] * len(self.parts)

    def teller(self, part: int) -> Callable[[float], None]:
        sizes = [end - first for first, end in self.parts]

        def tell(share: float) -> None:
            if self.stop.is_set():
                raise Stopped
            self.done[part] = share
            self.progress(sum(a * b for a, b in zip(self.done, sizes, strict=True)) / sum(sizes))

        return tell


def _silent(share: float) -> None:
    """Progress that nobody hears: that of other processes and machines."""


@contextmanager
def _cluster(address: str):
    """A client of the Dask scheduler at ``address``. Raises InputError where there is none, or no Dask."""
    try:
        from distributed import Client
    except ImportError:
        raise InputError("Dask is not installed, which --dask needs; pip install '.[dask]' in hwgen's folder") from None
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"no Dask scheduler answers at {address!r}: {reason}; check the address") from None
    with client:
        if not client.nthreads():
            raise InputError(f"the Dask cluster at {address!r} has no workers; start some with `dask worker {address}`")
        yield client
