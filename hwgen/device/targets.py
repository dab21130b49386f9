"""Devices: what each has, and what its family's blocks look like to synthesis.

The devices are data, ``devices.csv``, each with the documents that its numbers are from. Their families are here. What
Yosys makes of products and memories is in :mod:`hwgen.device.mapping`; how it is called is in
:mod:`hwgen.device.synth`.
"""

from dataclasses import dataclass, field, fields
from functools import lru_cache

from hwgen.blocks.multiplier import PAIR, SINGLE, Multiplier
from hwgen.device.names import device_name, device_rows
from hwgen.graph.types import IntType


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


@dataclass(frozen=True)
class Dsp:
    """A family's multipliers: ``shapes`` in the order in which Yosys tries them. What none takes is made of LUTs."""

    shapes: tuple[Shape, ...]

    def units(self, a: int, b: int) -> int | None:
        """What one multiplier for ``a`` by ``b`` bits, signed, takes; None where no shape holds that."""
        a, b = max(a, b), min(a, b)
        fitting = (shape.units for shape in self.shapes if a <= max(shape.a, shape.b) and b <= min(shape.a, shape.b))
        return min(fitting, default=None)


@dataclass(frozen=True)
class BlockRam:
    """A block RAM in one of its sizes: ``units`` of the resource, Yosys' ``cost``, and (width, depth) ``shapes``.

    Every ``byte`` bits of a word have a write enable of their own. ``joined``: words may lie in one block beside each
    other, where there are bits free.
    """

    units: int
    cost: int
    byte: int
    shapes: tuple[tuple[int, int], ...]
    joined: bool = True


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

    ``synth`` are the Yosys commands with ``{top}`` in them, None where Yosys has none; ``label`` what people call the
    family. ``lut_inputs``: of one LUT. ``free_mux``: LUTs that can be joined to a wider one at no cost. ``large``: RAM
    with one port and without contents at power-up, None where designs use none. ``dsp_name``, ``bram_name``,
    ``lut_name`` and ``large_name`` are what tables call the resources.
    """

    name: str
    label: str
    synth: str | None
    dsp: Dsp
    brams: tuple[BlockRam, ...]
    lutram: LutRam | None
    per_bit: PerBit
    lut_inputs: int
    free_mux: int
    dsp_name: str
    bram_name: str
    lut_name: str
    large: BlockRam | None = None
    large_name: str = ""

    def products_at_once(self, x: IntType, weight: IntType) -> int:
        """How many products of ``x`` by a weight each a multiplier makes: two, where one for both weights, joined,
        takes less than two for one each."""
        (pair,) = Multiplier(x, weight, PAIR).hardware(lanes=PAIR, each=1)
        (single,) = Multiplier(x, weight, SINGLE).hardware(lanes=SINGLE, each=1)
        joined, alone = self.dsp.units(pair.a, pair.b), self.dsp.units(single.a, single.b)
        return PAIR if joined and joined < PAIR * (alone or 1) else SINGLE


@dataclass(frozen=True)
class Device:
    """A part, most often that of a ``board``.

    ``dsps`` and ``brams`` are counted in the family's units; ``ram_luts``: how many of the ``luts`` can be RAM.
    ``large_rams`` are memories of ``large_kbit`` each beside the block RAM (:class:`Family`). ``part`` is the maker's
    full name, with package and speed grade. ``dram_gbps``: most that the board's memory moves, in 10^9 bytes a second,
    if it has one.
    """

    name: str
    family: Family = field(repr=False)
    part: str
    luts: int
    ffs: int
    dsps: int
    brams: int
    ram_luts: int
    large_rams: int
    large_kbit: int
    board: str | None
    dram_gbps: float | None
    source: str = field(repr=False)
    board_source: str | None = field(repr=False)

    @property
    def multipliers(self) -> int:
        """Products that its DSP blocks take at once, one in each."""
        return self.dsps


# The numbers in PerBit are fitted to what Yosys 0.70 counts (python -m benchmarks.costs --fit). ECP5: carry cells come
# in pairs. Xilinx: LUTs with six inputs take in what is in front of an adder, flip-flops what is chosen from a
# constant. iCE40: from single adders.

# The block RAM of ECP5 and Gowin: 18 kbit with parity bits, 16 kbit without.
_EBR = ((1, 16384), (2, 8192), (4, 4096), (9, 2048), (18, 1024), (36, 512))
# Of Xilinx: halves of 18 kbit and whole blocks of 36. The widest shape of each has one port to read and one to write.
_HALF = _EBR
_WHOLE = (*((width, 2 * depth) for width, depth in _EBR), (72, 512))
_XILINX_BRAMS = (BlockRam(1, 129, 9, _HALF), BlockRam(2, 257, 9, _WHOLE))

ECP5 = Family(
    name="ecp5",
    label="Lattice ECP5",
    synth="synth_ecp5 -top {top}",
    dsp=Dsp((Shape(a=18, b=18, part=18),)),
    brams=(BlockRam(1, 128, 9, _EBR),),
    lutram=LutRam(4, ((4, 16),)),
    per_bit=PerBit(adder=1.0, step=1.54, odd=1.0, gated=0.77, constant=0.92, mux=1.0, fixed=0.9, logic=0.83),
    lut_inputs=4,
    free_mux=4,
    dsp_name="18x18 multipliers",
    bram_name="block RAM (18 kbit)",
    lut_name="LUT4",
)

ICE40 = Family(
    name="ice40",
    label="Lattice iCE40 UltraPlus",
    synth="synth_ice40 -device u -dsp -top {top}",
    dsp=Dsp((Shape(a=16, b=16, part=16, least=11),)),
    brams=(BlockRam(1, 64, 1, ((2, 2048), (4, 1024), (8, 512), (16, 256))),),
    lutram=None,
    per_bit=PerBit(adder=1.0, step=1.15, odd=0.0, gated=1.0, constant=1.0, mux=1.0, fixed=1.0, logic=1.0),
    lut_inputs=4,
    free_mux=1,
    dsp_name="16x16 multipliers",
    bram_name="block RAM (4 kbit)",
    lut_name="LUT4",
    large=BlockRam(1, 2048, 4, ((16, 16384),)),
    large_name="SPRAM (256 kbit)",
)


def _xilinx(name: str, label: str, dsp: int, lutram: LutRam) -> Family:
    return Family(
        name=name,
        label=f"AMD {label}",
        synth=f"synth_xilinx -family {name} -noiopad -noclkbuf -top {{top}}",
        dsp=Dsp((Shape(a=dsp, b=18, part=18, headroom=1, least=9),)),
        brams=_XILINX_BRAMS,
        lutram=lutram,
        per_bit=PerBit(1.0, step=0.55, odd=0.0, gated=0.0, constant=0.0, mux=0.97, fixed=0.06, logic=0.38, apart=True),
        lut_inputs=6,
        free_mux=4,
        dsp_name=f"DSP ({dsp}x18)",
        bram_name="block RAM (18 kbit)",
        lut_name="LUT6",
    )


def _gowin(name: str, label: str) -> Family:
    """A multiplier of 18x18 bits is two of 9x9, one of 36x36 is four of 18x18 (Gowin UG287)."""
    return Family(
        name=name,
        label=f"Gowin {label}",
        synth=f"synth_gowin -family {name} -noiopads -top {{top}}",
        dsp=Dsp(
            (
                Shape(a=36, b=36, part=36, least_a=22, least_b=22, units=8),
                Shape(a=18, b=18, part=18, least_a=10, least_b=4, units=2),
                Shape(a=9, b=9, part=9, least_a=4, least_b=4),
            )
        ),
        brams=(BlockRam(1, 128, 9, _EBR),),
        lutram=LutRam(4, ((4, 16),)),
        per_bit=PerBit(adder=1.0, step=1.32, odd=0.0, gated=0.91, constant=0.9, mux=1.01, fixed=0.91, logic=1.06),
        lut_inputs=4,
        free_mux=4,
        dsp_name="9x9 multipliers",
        bram_name="block RAM (18 kbit)",
        lut_name="LUT4",
    )


# memory_bram does not look at where memories are to go. So small RAMs come first, without contents, which MLABs do not
# have in Yosys; and tables in logic, which it would find to be ROMs.
_CYCLONE = """\
synth_intel_alm -family cyclonev -noiopad -noclkbuf -top {top} -run begin:map_bram
setparam -set INIT 1'x t:$mem_v2 a:ram_style=distributed %i
select t:$mem_v2 a:ram_style=distributed %i
memory_bram -rules +/intel_alm/common/lutram_mlab.txt
select t:$mem_v2 a:ram_style %d
memory_map
select -clear
synth_intel_alm -family cyclonev -noiopad -noclkbuf -top {top} -run map_bram:"""

_M10K = BlockRam(1, 1, 1, ((1, 8192), (2, 4096), (5, 2048), (10, 1024), (20, 512), (40, 256)), joined=False)
_M20K = BlockRam(1, 1, 1, ((10, 2048), (20, 1024), (40, 512)), joined=False)


def _intel(name: str, label: str, synth: str | None, dsp: Dsp, ram: BlockRam, names: tuple[str, str]) -> Family:
    """Logic is counted in halves of an ALM: a table of six inputs takes a whole one, smaller ones and a bit of an
    adder a half. An MLAB, ten ALMs, holds 32 words of 20 bits."""
    return Family(
        name=name,
        label=f"Intel {label}",
        synth=synth,
        dsp=dsp,
        brams=(ram,),
        lutram=LutRam(1, ((1, 32),)),
        per_bit=PerBit(adder=1.0, step=1.15, odd=0.0, gated=1.03, constant=1.32, mux=1.02, fixed=1.06, logic=0.78),
        lut_inputs=6,
        free_mux=4,
        dsp_name=names[0],
        bram_name=names[1],
        lut_name="ALUT (half an ALM)",
    )


#: A DSP block holds three multipliers of 9x9, two of 18x18 (one of which has a third left over) or one of 27x27 bits.
_CYCLONE_DSP = Dsp(
    (
        Shape(a=27, b=27, part=27, least_a=19, least_b=4, units=3),
        Shape(a=18, b=18, part=18, least_a=10, least_b=4, units=2),
        Shape(a=9, b=9, part=9, least_a=4, least_b=4),
    )
)
#: A DSP block holds two multipliers of 19x18 bits or one of 27x27.
_ARRIA_DSP = Dsp((Shape(a=27, b=27, part=27, least_a=20, least_b=4, units=2), Shape(a=19, b=18, part=18)))
_M20K_NAMES = "multipliers (19x18)", "block RAM (M20K)"

FAMILIES = {
    family.name: family
    for family in (
        ICE40,
        ECP5,
        _gowin("gw1n", "GW1N"),
        _gowin("gw2a", "GW2A"),
        _xilinx("xc7", "7 series", 25, LutRam(4, ((6, 32), (3, 64)))),
        _xilinx("xcu", "UltraScale", 27, LutRam(8, ((14, 32), (7, 64)))),
        _xilinx("xcup", "UltraScale+", 27, LutRam(8, ((14, 32), (7, 64)))),
        _intel("cyclonev", "Cyclone V", _CYCLONE, _CYCLONE_DSP, _M10K, ("multipliers (9x9)", "block RAM (M10K)")),
        _intel("arria10", "Arria 10", None, _ARRIA_DSP, _M20K, _M20K_NAMES),
        _intel("stratix10", "Stratix 10", None, _ARRIA_DSP, _M20K, _M20K_NAMES),
    )
}


def _read(row: dict[str, str]) -> Device:
    """A device of a line of the table."""
    whole = ("luts", "ffs", "dsps", "brams", "ram_luts", "large_rams", "large_kbit")
    values = {field.name: row[field.name] or None for field in fields(Device)}
    values |= {name: int(row[name]) for name in whole} | {"family": FAMILIES[row["family"]]}
    return Device(**values | {"dram_gbps": float(row["dram_gbps"]) if row["dram_gbps"] else None})


@lru_cache(maxsize=1)
def devices() -> tuple[Device, ...]:
    """Every device known, by family and size. Xilinx block RAM is counted in halves of 18 kbit."""
    return tuple(map(_read, device_rows()))


DEVICES = devices()


def device(name: str) -> Device:
    """The device called ``name``, by its part's full name or without Xilinx' ``xc``, in any case.

    Raises :class:`InputError` with the names that come near.
    """
    return {known.name: known for known in DEVICES}[device_name(name)]
