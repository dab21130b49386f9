"""What of a simulation is written as waveforms."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hwgen.graph.errors import InputError
from hwgen.output import atomic_file


@dataclass(frozen=True)
class Waves:
    """A VCD file at ``path`` with the signals of ``layers`` (all if none are named) in cycles ``first`` to ``last``."""

    path: Path
    first: int = 0
    last: int | None = None
    layers: tuple[str, ...] = ()

    @staticmethod
    def asked(path: Path | None, cycles: str | None = None, layers: tuple[str, ...] = ()) -> "Waves | None":
        """What options say, ``cycles`` as ``FIRST:LAST``, either of which may be missing."""
        if path is None:
            if cycles or layers:
                raise InputError("cycles and layers to trace are given, but no file to write: give --trace FILE.vcd")
            return None
        ends = (cycles or ":").split(":")
        if len(ends) != 2 or not all(end.isdecimal() for end in ends if end):
            raise InputError(f"{cycles!r} are no cycles to trace: give the first and the last, such as 0:999")
        return Waves(path, int(ends[0] or 0), int(ends[1]) if ends[1] else None, tuple(layers))

    @property
    def chosen(self) -> bool:
        """Whether it is less than everything."""
        return bool(self.layers or self.first or self.last is not None)


@contextmanager
def whole(trace: Waves | None) -> Iterator[Waves | None]:
    """``trace`` with a file that is put in its place when the block ends: a simulation that is stopped leaves none."""
    if trace is None:
        yield None
        return
    with atomic_file(trace.path) as partial:
        yield replace(trace, path=partial)
