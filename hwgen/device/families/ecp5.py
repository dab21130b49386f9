"""Lattice ECP5."""

from collections.abc import Iterator
from dataclasses import replace

from amaranth.hdl import Const, Instance, Signal

from ..clocks import MHZ
from ..family import EBR, BlockRam, Family, LutRam, PerBit, Shape, UsualClock
from ..flow import Flow, nextpnr
from ..needs import Needs
from ..pll import Pll, Setting
from .ecp5_netlist import improved
from .ecp5_netlist.untimed import untimed


def _settings(source: float) -> Iterator[Setting]:
    """EHXPLLL with its first output fed back. Limits: Lattice FPGA-DS-02012, table 3.16."""
    for reference in range(1, 9):
        if not 3.125 * MHZ <= source / reference <= 400 * MHZ:
            continue
        for feedback in range(1, 81):
            output = source / reference * feedback
            # The oscillator in the middle of its range, 400 to 800 MHz.
            divider = max(1, min(128, round(600 * MHZ / output)))
            if output <= 400 * MHZ and 400 * MHZ <= output * divider <= 800 * MHZ:
                dividers = {"CLKI_DIV": reference, "CLKFB_DIV": feedback, "CLKOP_DIV": divider}
                fixed = {"FEEDBK_PATH": "CLKOP", "CLKOP_ENABLE": "ENABLED"}
                yield Setting(source, output, {**dividers, **fixed, "CLKOP_CPHASE": divider - 1})


def _cell(chosen: Setting, source: Signal, output: Signal, locked: Signal) -> Instance:
    given = {f"p_{name}": value for name, value in chosen.parameters.items()}
    pins = {"i_CLKI": source, "o_CLKOP": output, "i_CLKFB": output, "o_LOCK": locked}
    idle = ("RST", "STDBY", "PHASESEL0", "PHASESEL1", "PHASEDIR", "PHASESTEP", "PHASELOADREG", "PLLWAKESYNC")
    return Instance("EHXPLLL", **given, **pins, i_ENCLKOP=Const(1), **{f"i_{name}": Const(0) for name in idle})


def _part(platform, top: str) -> list[str]:
    size = platform.device.partition("-")[2].rstrip("F").lower()
    package = platform.package.replace("BG", "CABGA")
    part = [f"--{size}k", "--package", package, "--speed", platform.speed]
    return [*part, "--lpf", f"{top}.lpf", "--textcfg", f"{top}.config", "--router", "router2"]


def _pack(platform, source: str, target: str) -> list[str]:
    return ["--compress", source, target]


#: nextpnr takes 4.5 minutes for LeNet-5 with 140 multipliers, 19 % of the LUTs of the LFE5U-85F; at 70 % it was still
#: placing after 12.
_MOST_LOGIC = 0.25
_ROUTE = nextpnr("ecp5")
_FLOW = Flow(
    route=_ROUTE,
    pack=replace(_ROUTE, name="ecppack", function="run_ecppack"),
    constraints="lpf",
    routed="config",
    bitstream="bit",
    arguments=_part,
    packing=_pack,
    resources={
        "TRELLIS_COMB": "LUT4",
        "TRELLIS_FF": "flip-flops",
        "DP16KD": "block RAM (18 kbit)",
        "MULT18X18D": "18x18 multipliers",
    },
    improved=improved,
    untimed=untimed,
    most_logic=_MOST_LOGIC,
)

# Carry cells come in pairs.
_ECP5 = Family(
    name="ecp5",
    maker="Lattice",
    series="ECP5",
    clock=UsualClock(
        100e6,
        "measured",
        "docs/clock.md: LeNet-5 113.3 MHz after place and route, speed grade 6",
    ),
    synth="synth_ecp5 -top {top}",
    cells={
        "LUT4": Needs(luts=1),
        "CCU2C": Needs(luts=2),
        "TRELLIS_DPR16X4": Needs(luts=4, ram_luts=4),
        "MULT18X18D": Needs(dsps=1),
        **dict.fromkeys(("DP16KD", "PDPW16KD"), Needs(brams=1)),
    },
    flops="TRELLIS_FF",
    dsp=(Shape(a=18, b=18, part=18),),
    brams=(BlockRam(1, 128, 9, EBR),),
    lutram=LutRam(4, ((4, 16),)),
    per_bit=PerBit(adder=1.0, step=1.54, odd=1.0, gated=0.77, constant=0.92, mux=1.0, quad=2.0, fixed=0.9, logic=0.83),
    lut_inputs=4,
    free_mux=4,
    dsp_name="18x18 multipliers",
    bram_name="block RAM (18 kbit)",
    lut_name="LUT4",
    slices=("alu54b",),
    flow=_FLOW,
    pll=Pll(_settings, _cell),
)

FAMILIES = (_ECP5,)
