"""Gowin GW1N and GW2A."""

from collections.abc import Iterator

from amaranth.hdl import Const, Instance, Signal

from hwgen.tools.package_tool import Tool

from ..clocks import MHZ
from ..family import EBR, BlockRam, Family, LutRam, PerBit, Shape, UsualClock
from ..flow import Flow, nextpnr
from ..needs import Needs
from ..pll import Pll, Setting


def _settings(source: float) -> Iterator[Setting]:
    """rPLL of the GW1N(R)-9C. Limits: Gowin UG286, and DS117 for its oscillator."""
    for reference in range(64):
        if not 3 * MHZ <= source / (reference + 1) <= 400 * MHZ:
            continue
        for feedback in range(64):
            output = source / (reference + 1) * (feedback + 1)
            for divider in (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128):
                if 400 * MHZ <= output * divider <= 1200 * MHZ:
                    dividers = {"IDIV_SEL": reference, "FBDIV_SEL": feedback, "ODIV_SEL": divider}
                    yield Setting(source, output, {"FCLKIN": f"{source / MHZ:g}", **dividers})


def _cell(chosen: Setting, source: Signal, output: Signal, locked: Signal) -> Instance:
    given = {f"p_{name}": value for name, value in chosen.parameters.items()}
    off = ("DYN_IDIV_SEL", "DYN_FBDIV_SEL", "DYN_ODIV_SEL")
    direct = ("CLKOUT_BYPASS", "CLKOUTP_BYPASS", "CLKOUTD_BYPASS")
    fixed: dict[str, int | str] = {"p_DEVICE": "GW1NR-9C", **{f"p_{name}": "false" for name in off}}
    fixed |= {"p_PSDA_SEL": "0000", "p_DUTYDA_SEL": "1000", "p_DYN_DA_EN": "true", "p_CLKFB_SEL": "internal"}
    fixed |= {f"p_{name}": "false" for name in direct}
    fixed |= {"p_DYN_SDIV_SEL": 2, "p_CLKOUTD_SRC": "CLKOUT", "p_CLKOUTD3_SRC": "CLKOUT"}
    pins = {"i_CLKIN": source, "o_CLKOUT": output, "o_LOCK": locked, "i_CLKFB": Const(0)}
    idle = {"RESET": 1, "RESET_P": 1, "FBDSEL": 6, "IDSEL": 6, "ODSEL": 6, "PSDA": 4, "DUTYDA": 4, "FDLY": 4}
    return Instance("rPLL", **given, **fixed, **pins, **{f"i_{name}": Const(0, bits) for name, bits in idle.items()})


def _family(platform) -> str:
    """What Project Apicula calls the die: GW1N-9C for GW1NR-9C, whose package has a RAM chip beside it."""
    return platform.family.replace("R-", "-")


def _part(platform, top: str) -> list[str]:
    options = ["--vopt", f"family={_family(platform)}", "--vopt", f"cst={top}.cst"]
    return ["--device", platform.part, *options, "--write", f"{top}.pnr.json"]


def _pack(platform, source: str, target: str) -> list[str]:
    return ["-d", _family(platform), "--sspi_as_gpio", "--mspi_as_gpio", "-o", target, source]


_FLOW = Flow(
    route=nextpnr("himbaechel-gowin"),
    pack=Tool("gowin_pack", "apycula", "apycula.gowin_pack", "main", argv=True),
    constraints="cst",
    routed="pnr.json",
    bitstream="fs",
    arguments=_part,
    packing=_pack,
    resources={
        "LUT4": "LUT4",
        "DFF": "flip-flops",
        "ALU": "carry cells",
        "BSRAM": "block RAM (18 kbit)",
        "MULT18X18": "18x18 multipliers",
        "MULT9X9": "9x9 multipliers",
    },
)

_CELLS = {
    **{f"LUT{inputs}": Needs(luts=1) for inputs in range(1, 5)},
    "ALU": Needs(luts=1),
    **{f"RAM16SDP{width}": Needs(luts=4, ram_luts=4) for width in (1, 2, 4)},
    "MULT9X9": Needs(dsps=1),
    "MULT18X18": Needs(dsps=2),
    "MULT36X36": Needs(dsps=8),
    **dict.fromkeys(("SP", "SPX9", "SDPB", "SDPX9B", "DPB", "DPX9B"), Needs(brams=1)),
}


def _gowin(name: str, series: str, clock: UsualClock, flow: Flow | None = None, pll: Pll | None = None) -> Family:
    """A multiplier of 18x18 bits is two of 9x9, one of 36x36 is four of 18x18 (Gowin UG287)."""
    return Family(
        name=name,
        maker="Gowin",
        series=series,
        clock=clock,
        synth=f"synth_gowin -family {name} -noiopads -top {{top}}",
        cells=_CELLS,
        flops="DFFN?[SRPC]?E?",
        dsp=(
            Shape(a=36, b=36, part=36, least_a=22, least_b=22, units=8),
            Shape(a=18, b=18, part=18, least_a=10, least_b=4, units=2),
            Shape(a=9, b=9, part=9, least_a=4, least_b=4),
        ),
        brams=(BlockRam(1, 128, 9, EBR),),
        lutram=LutRam(4, ((4, 16),)),
        per_bit=PerBit(
            adder=1.0, step=1.32, odd=0.0, gated=0.91, constant=0.9, mux=1.01, quad=2.0, fixed=0.91, logic=1.06
        ),
        lut_inputs=4,
        free_mux=4,
        dsp_name="9x9 multipliers",
        bram_name="block RAM (18 kbit)",
        lut_name="LUT4",
        flow=flow,
        pll=pll,
    )


_GW1N_CLOCK = UsualClock(
    54e6,
    "measured",
    "docs/boards.md: 68.5 MHz after place and route of a small network; 54 MHz is twice the board's oscillator",
)
_GW2A_CLOCK = UsualClock(54e6, "not measured", "chosen, as the GW1N: nothing was routed for it")

FAMILIES = (
    _gowin("gw1n", "GW1N", _GW1N_CLOCK, _FLOW, Pll(_settings, _cell)),
    _gowin("gw2a", "GW2A", _GW2A_CLOCK),
)
