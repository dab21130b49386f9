"""What a family of devices is: its blocks as synthesis sees them, its clock, and the tools that make bitstreams."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hwgen.cost.needs import LARGE_STYLES
from hwgen.graph.errors import InputError

from .flow import Flow
from .needs import Needs
from .pll import Pll

#: The block RAM of several makers: 18 kbit with parity bits, 16 kbit without.
EBR = ((1, 16384), (2, 8192), (4, 4096), (9, 2048), (18, 1024), (36, 512))


@dataclass(frozen=True)
class UsualClock:
    """``hz`` that designs have on devices of a family; ``known``: ``"measured"`` by us, or ``"not measured"`` and
    chosen with care: ``source`` says below what, and which document has that."""

    hz: float
    known: str
    source: str


@dataclass(frozen=True)
class Shape:
    """Multipliers of ``a`` by ``b`` bits, signed, ``units`` each, as Yosys' ``mul2dsp`` cuts products for them.

    Wider operands are cut into parts of ``part`` bits, of which ``headroom`` are lost to the sign. Products with an
    operand of less than ``least_a``, another of less than ``least_b`` or a result of less than ``least`` bits are left
    to what comes next.
    """

    a: int
    b: int
    part: int
    headroom: int = 0
    least: int = 0
    least_a: int = 2
    least_b: int = 2
    units: int = 1


#: A family's multipliers, in the order in which Yosys tries them. What none takes is made of LUTs.
Dsp = tuple[Shape, ...]


@dataclass(frozen=True)
class BlockRam:
    """A block RAM in one of its sizes: ``units`` of the resource, Yosys' ``cost``, and (width, depth) ``shapes``.

    Every ``byte`` bits of a word have a write enable of their own. ``joined``: words may lie in one block beside each
    other, where there are bits free. With two ``ports`` it is written and read in the same cycle.
    """

    units: int
    cost: int
    byte: int
    shapes: tuple[tuple[int, int], ...]
    joined: bool = True
    ports: int = 2


@dataclass(frozen=True)
class LutRam:
    """A RAM of LUTs with one write and one read port: ``shapes`` are (width, depth), each taking ``luts``."""

    luts: int
    shapes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class PerBit:
    """LUTs for a counted bit of each kind of :class:`hwgen.cost.logic.Logic`.

    ``odd`` is for a carry chain with an odd number of them; ``joining`` and ``carry`` are for adders in front of a
    multiplier, and of a single bit. ``apart`` says that Yosys keeps modules apart, and makes shift registers of LUTs,
    ``packed`` that it uses the registers that multipliers have inside.
    """

    adder: float
    step: float
    odd: float
    gated: float
    constant: float
    mux: float
    quad: float
    fixed: float
    logic: float
    joining: float = 1.0
    carry: float = 1.0
    apart: bool = False
    packed: bool = False


@dataclass(frozen=True)
class Family:
    """Devices that are alike but for their size.

    ``series`` is what its ``maker`` calls it. ``synth`` are the Yosys commands with ``{top}`` in them, None where Yosys
    has none; ``cells`` what each cell that it makes takes, flip-flops aside, which are the cells named like ``flops``.
    Cells that are not there take nothing of their own: wide multiplexers and carry chains join LUTs that are counted
    already. ``lut_inputs``: of one LUT. ``free_mux``: LUTs that can be joined to a wider one at no cost. ``large``: RAM
    without contents at power-up, for weights that are loaded, and where it has two ports (UltraRAM, not SPRAM) for what
    hardware writes itself; with the bytes it may have. ``dsp_name``, ``bram_name``,
    ``lut_name`` and ``large_name`` are what tables call the resources. ``clock`` is the one that speeds are stated at
    unless another is asked for. ``slices`` are the kinds of DSP blocks that add up along a cascade, by their names in
    :data:`hwgen.blocks.array.slices.SLICES`. ``flow`` and ``pll`` make bitstreams, None where boards have none.
    """

    name: str
    maker: str
    series: str
    clock: UsualClock
    synth: str | None
    cells: Mapping[str, Needs] = field(repr=False, compare=False)
    flops: str
    dsp: Dsp
    brams: tuple[BlockRam, ...]
    lutram: LutRam | None
    per_bit: PerBit
    lut_inputs: int
    free_mux: int
    dsp_name: str
    bram_name: str
    lut_name: str
    large: tuple[BlockRam, ...] = ()
    large_name: str = ""
    slices: tuple[str, ...] = ()
    flow: Flow | None = field(default=None, repr=False, compare=False)
    pll: Pll | None = field(default=None, repr=False, compare=False)

    @property
    def large_style(self) -> str | None:
        """The style of memories that are in its large RAM; None where there is none."""
        return LARGE_STYLES[self.large[0].ports - 1] if self.large else None

    @property
    def label(self) -> str:
        """Maker and series."""
        return f"{self.maker} {self.series}"

    def synthesis(self, top: str) -> str:
        """The Yosys commands for a design with the module ``top``; InputError where Yosys has none."""
        if self.synth is None:
            raise InputError(f"Yosys has no synthesis for {self.label}")
        return self.synth.format(top=top)
