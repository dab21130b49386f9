"""Devices: what each has, and what its family's blocks look like to synthesis.

Numbers are from the makers' data sheets, which each device names. What Yosys makes of products and memories is in
:mod:`hwgen.mapping`; how it is called is in :mod:`hwgen.synth`.
"""

from dataclasses import dataclass, field
from difflib import get_close_matches

from hwgen.blocks.multiplier import PAIR, SINGLE, Multiplier
from hwgen.graph.errors import InputError
from hwgen.graph.types import IntType


@dataclass(frozen=True)
class Dsp:
    """A multiplier block of ``a`` by ``b`` bits, signed, as Yosys' ``mul2dsp`` cuts products for it.

    Wider operands are cut into parts of ``part`` bits, of which ``headroom`` are lost to the sign. Products with an
    operand of less than two bits or a result of less than ``least`` bits are made of LUTs.
    """

    a: int
    b: int
    part: int
    headroom: int
    least: int

    def holds(self, a: int, b: int) -> bool:
        """Whether one block multiplies ``a`` by ``b`` bits, signed."""
        return max(a, b) <= max(self.a, self.b) and min(a, b) <= min(self.a, self.b)


@dataclass(frozen=True)
class BlockRam:
    """A block RAM in one of its sizes: ``units`` of the resource, Yosys' ``cost``, and (width, depth) ``shapes``.

    Every ``byte`` bits of a word have a write enable of their own.
    """

    units: int
    cost: int
    byte: int
    shapes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class LutRam:
    """A RAM of LUTs with one write and one read port: ``shapes`` are (width, depth), each taking ``luts``."""

    luts: int
    shapes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class PerBit:
    """LUTs for a counted bit of each kind of :class:`hwgen.blocks.logic.Logic`.

    ``odd`` is for a carry chain with an odd number of them. ``apart`` says that Yosys keeps modules apart, and
    makes shift registers of LUTs.
    """

    adder: float
    step: float
    odd: float
    gated: float
    constant: float
    mux: float
    fixed: float
    logic: float
    apart: bool = False


@dataclass(frozen=True)
class Family:
    """Devices that are alike but for their size.

    ``synth`` is the Yosys command without its ``-top``. ``lut_inputs``: of one LUT. ``free_mux``: LUTs that can be
    joined to a wider one at no cost. ``dsp_name``, ``bram_name`` and ``lut_name`` are what tables call the resources.
    """

    name: str
    synth: str
    dsp: Dsp
    brams: tuple[BlockRam, ...]
    lutram: LutRam | None
    per_bit: PerBit
    lut_inputs: int
    free_mux: int
    dsp_name: str
    bram_name: str
    lut_name: str

    def products_at_once(self, x: IntType, weight: IntType) -> int:
        """How many products of ``x`` by a weight each a DSP block makes: two weights, joined, must fit into it."""
        (pair,) = Multiplier(x, weight, PAIR).hardware(lanes=PAIR, each=1)
        return PAIR if self.dsp.holds(pair.a, pair.b) else SINGLE


@dataclass(frozen=True)
class Device:
    """``brams`` are counted in the family's unit; ``ram_luts``: how many of the ``luts`` can be RAM."""

    name: str
    family: Family = field(repr=False)
    luts: int
    ffs: int
    dsps: int
    brams: int
    ram_luts: int
    source: str = field(repr=False)

    @property
    def multipliers(self) -> int:
        """Products that its DSP blocks take at once, one in each."""
        return self.dsps


# The numbers in PerBit are fitted to what Yosys 0.70 counts (python -m benchmarks.costs --fit). ECP5: carry cells come
# in pairs. Xilinx: LUTs with six inputs take in what is in front of an adder, flip-flops what is chosen from a
# constant. iCE40: from single adders.

# The block RAM of ECP5: 18 kbit with parity bits, 16 kbit without.
_EBR = ((1, 16384), (2, 8192), (4, 4096), (9, 2048), (18, 1024), (36, 512))
# Of Xilinx: halves of 18 kbit and whole blocks of 36. The widest shape of each has one port to read and one to write.
_HALF = _EBR
_WHOLE = (*((width, 2 * depth) for width, depth in _EBR), (72, 512))
_XILINX_BRAMS = (BlockRam(1, 129, 9, _HALF), BlockRam(2, 257, 9, _WHOLE))

ECP5 = Family(
    name="ecp5",
    synth="synth_ecp5",
    dsp=Dsp(a=18, b=18, part=18, headroom=0, least=0),
    brams=(BlockRam(1, 128, 9, _EBR),),
    lutram=LutRam(4, ((4, 16),)),
    per_bit=PerBit(adder=1.0, step=1.2, odd=1.0, gated=0.85, constant=0.9, mux=1.03, fixed=0.9, logic=0.82),
    lut_inputs=4,
    free_mux=4,
    dsp_name="18x18 multipliers",
    bram_name="block RAM (18 kbit)",
    lut_name="LUT4",
)

ICE40 = Family(
    name="ice40",
    synth="synth_ice40 -device u -dsp",
    dsp=Dsp(a=16, b=16, part=16, headroom=0, least=11),
    brams=(BlockRam(1, 64, 1, ((2, 2048), (4, 1024), (8, 512), (16, 256))),),
    lutram=None,
    per_bit=PerBit(adder=1.0, step=1.15, odd=0.0, gated=1.0, constant=1.0, mux=1.0, fixed=1.0, logic=1.0),
    lut_inputs=4,
    free_mux=1,
    dsp_name="16x16 multipliers",
    bram_name="block RAM (4 kbit)",
    lut_name="LUT4",
)


def _xilinx(name: str, dsp: int, lutram: LutRam) -> Family:
    return Family(
        name=name,
        synth=f"synth_xilinx -family {name} -noiopad -noclkbuf",
        dsp=Dsp(a=dsp, b=18, part=18, headroom=1, least=9),
        brams=_XILINX_BRAMS,
        lutram=lutram,
        per_bit=PerBit(1.0, step=0.5, odd=0.0, gated=0.0, constant=0.0, mux=1.0, fixed=0.05, logic=0.43, apart=True),
        lut_inputs=6,
        free_mux=4,
        dsp_name=f"DSP ({dsp}x18)",
        bram_name="block RAM (18 kbit)",
        lut_name="LUT6",
    )


XC7 = _xilinx("xc7", 25, LutRam(4, ((6, 32), (3, 64))))
XCU = _xilinx("xcu", 27, LutRam(8, ((14, 32), (7, 64))))
XCUP = _xilinx("xcup", 27, LutRam(8, ((14, 32), (7, 64))))

_ECP5 = "Lattice FPGA-DS-02012, ECP5 and ECP5-5G Family Data Sheet, table 1.1; LUTs as in Project Trellis"
_ICE40 = "Lattice FPGA-DS-02008, iCE40 UltraPlus Family Data Sheet, table 1.1"
_ARTIX = "Xilinx DS180, 7 Series FPGAs Data Sheet: Overview, table 4"
_ZYNQ = "Xilinx DS190, Zynq-7000 SoC Data Sheet: Overview, table 1"
_MPSOC = "Xilinx DS891, Zynq UltraScale+ MPSoC Data Sheet: Overview"
_KINTEX = "Xilinx DS890, UltraScale Architecture and Product Data Sheet: Overview"

#: Every device known, by family and size. Xilinx block RAM is counted in halves of 18 kbit.
DEVICES = (
    #      name         family   LUTs     FFs      DSPs  RAMs  LUTs that can be RAM
    Device("ice40up5k", ICE40, 5_280, 5_280, 8, 30, 0, _ICE40),
    Device("lfe5u-25f", ECP5, 24_288, 24_288, 28, 56, 12_144, _ECP5),
    Device("lfe5u-45f", ECP5, 43_848, 43_848, 72, 108, 21_924, _ECP5),
    Device("lfe5u-85f", ECP5, 83_640, 83_640, 156, 208, 41_820, _ECP5),
    Device("xc7a35t", XC7, 20_800, 41_600, 90, 100, 6_400, _ARTIX),
    Device("xc7a100t", XC7, 63_400, 126_800, 240, 270, 19_000, _ARTIX),
    Device("xc7a200t", XC7, 134_600, 269_200, 740, 730, 46_200, _ARTIX),
    Device("xc7z010", XC7, 17_600, 35_200, 80, 120, 6_000, _ZYNQ),
    Device("xc7z020", XC7, 53_200, 106_400, 220, 280, 17_400, _ZYNQ),
    Device("xczu3eg", XCUP, 70_560, 141_120, 360, 432, 28_800, _MPSOC),
    Device("xczu7ev", XCUP, 230_400, 460_800, 1_728, 624, 101_760, _MPSOC),
    Device("xczu9eg", XCUP, 274_080, 548_160, 2_520, 1_824, 144_000, _MPSOC),
    Device("xcku040", XCU, 242_400, 484_800, 1_920, 1_200, 112_800, _KINTEX),
    Device("xcku115", XCU, 663_360, 1_326_720, 5_520, 4_320, 293_760, _KINTEX),
    Device("xcvu9p", XCUP, 1_182_240, 2_364_480, 6_840, 4_320, 591_840, _KINTEX),
)


def device(name: str) -> Device:
    """The device called ``name``, in any case. Raises :class:`InputError` with the names that come near."""
    known = {known.name: known for known in DEVICES}
    if name.lower() in known:
        return known[name.lower()]
    near = get_close_matches(name.lower(), known, n=3)
    meant = f"did you mean {' or '.join(near)}? Known" if near else "known"
    raise InputError(f"device {name!r} is not known; {meant}: {', '.join(known)}")
