"""Clocks of a wished rate from that of a board: the PLLs of families, and which of their settings is taken."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from amaranth.hdl import Instance

from hwgen.graph.errors import InputError

from .clocks import MHZ, Clock


@dataclass(frozen=True)
class Setting:
    """A PLL that makes ``output`` Hz of ``source`` Hz; ``parameters`` are its cell's."""

    source: float
    output: float
    parameters: Mapping[str, int | str | float]


@dataclass(frozen=True)
class Pll:
    """The PLL of a family: its ``settings`` for a source in Hz, and its ``cell`` with a setting, between the signals
    source, output and locked. ``takes_pin``: its source is the pin itself."""

    settings: Callable[[float], Iterator[Setting]]
    cell: Callable[..., Instance]
    takes_pin: bool = False

    def setting(self, source: Clock, wished: Clock) -> Setting | None:
        """The one whose output comes nearest to ``wished`` from below; None where ``source`` is just that.

        Raises InputError where none comes within a tenth.
        """
        if abs(source.hz - wished.hz) < 1:
            return None
        able = [found for found in self.settings(source.hz) if found.output <= wished.hz * (1 + 1e-9)]
        best = max(able, key=lambda found: found.output, default=None)
        if best is None or best.output < 0.9 * wished.hz:
            rates = sorted({round(found.output / MHZ, 3) for found in self.settings(source.hz)})
            raise InputError(
                f"the PLL makes no {wished} from {source}: give a --clock between {rates[0]:g} and {rates[-1]:g}"
            )
        return best
