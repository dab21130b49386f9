"""Clocks of a wished rate from that of a board: the PLLs of families, and which of their settings is taken."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from amaranth.hdl import Instance

from hwgen.graph.errors import InputError

MHZ = 1e6


@dataclass(frozen=True)
class Setting:
    """A PLL that makes ``output`` Hz of ``source`` Hz; ``parameters`` are its cell's."""

    source: float
    output: float
    parameters: tuple[tuple[str, int | str | float], ...]


@dataclass(frozen=True)
class Pll:
    """The PLL of a family: its ``settings`` for a source in Hz, and its ``cell`` with a setting, between the signals
    source, output and locked. ``takes_pin``: its source is the pin itself."""

    settings: Callable[[float], Iterator[Setting]]
    cell: Callable[..., Instance]
    takes_pin: bool = False

    def setting(self, source: float, wished: float) -> Setting | None:
        """The one whose output comes nearest to ``wished`` Hz from below; None where ``source`` is just that.

        Raises InputError where none comes within a tenth.
        """
        if abs(source - wished) < 1:
            return None
        able = [found for found in self.settings(source) if found.output <= wished * (1 + 1e-9)]
        best = max(able, key=lambda found: found.output, default=None)
        if best is None or best.output < 0.9 * wished:
            rates = sorted({round(found.output / MHZ, 3) for found in self.settings(source)})
            raise InputError(
                f"the PLL makes no {wished / MHZ:g} MHz from {source / MHZ:g} MHz: give a --clock between "
                f"{rates[0]:g} and {rates[-1]:g}"
            )
        return best
