"""Lattice iCE40 UltraPlus."""

from collections.abc import Iterator
from dataclasses import replace

from amaranth.hdl import Const, Instance, Signal

from ..clocks import MHZ
from ..family import BlockRam, Family, PerBit, Shape, UsualClock
from ..flow import Flow, nextpnr
from ..needs import Needs
from ..pll import Pll, Setting

_WIDTHS = {"DIVR": 4, "DIVF": 7, "DIVQ": 3, "FILTER_RANGE": 3}


def _settings(source: float) -> Iterator[Setting]:
    """SB_PLL40 with simple feedback. Limits: Lattice FPGA-DS-02008, table 4.12; filter: icepll of Project IceStorm."""
    filters = (17, 26, 44, 66, 101)  # MHz up to which each is meant
    for reference in range(16):
        phase = source / (reference + 1)
        if not 10 * MHZ <= phase <= 133 * MHZ:
            continue
        for feedback in range(128):
            oscillator = phase * (feedback + 1)
            if not 533 * MHZ <= oscillator <= 1066 * MHZ:
                continue
            for power in range(1, 7):
                output = oscillator / (1 << power)
                values = {"DIVR": reference, "DIVF": feedback, "DIVQ": power}
                values["FILTER_RANGE"] = 1 + sum(phase >= limit * MHZ for limit in filters)
                if 16 * MHZ <= output <= 275 * MHZ:
                    yield Setting(source, output, {"FEEDBACK_PATH": "SIMPLE", **values})


def _cell(chosen: Setting, source: Signal, output: Signal, locked: Signal) -> Instance:
    """Its ``source`` is the pin itself."""
    typed = {f"p_{n}": Const(v, _WIDTHS[n]) if n in _WIDTHS else v for n, v in chosen.parameters.items()}
    pins = {"i_PACKAGEPIN": source, "o_PLLOUTGLOBAL": output, "o_LOCK": locked}
    return Instance("SB_PLL40_PAD", i_RESETB=Const(1), i_BYPASS=Const(0), **typed, **pins)


def _part(platform, top: str) -> list[str]:
    part = [f"--{platform.device.lower().removeprefix('ice40')}", "--package", platform.package.lower()]
    return [*part, "--pcf", f"{top}.pcf", "--asc", f"{top}.asc"]


def _pack(platform, source: str, target: str) -> list[str]:
    return [source, target]


_ROUTE = nextpnr("ice40")
_FLOW = Flow(
    route=_ROUTE,
    pack=replace(_ROUTE, name="icepack", function="run_icepack"),
    constraints="pcf",
    routed="asc",
    bitstream="bin",
    arguments=_part,
    packing=_pack,
    resources={
        "ICESTORM_LC": "logic cells",
        "ICESTORM_RAM": "block RAM (4 kbit)",
        "ICESTORM_DSP": "16x16 multipliers",
        "ICESTORM_SPRAM": "SPRAM (256 kbit)",
    },
)

# The numbers in PerBit are from single adders.
_ICE40 = Family(
    name="ice40",
    maker="Lattice",
    series="iCE40 UltraPlus",
    clock=UsualClock(
        24e6,
        "measured",
        "docs/boards.md: 31.2 to 34.4 MHz after place and route; 24 MHz is the PLL's setting",
    ),
    synth="synth_ice40 -device u -dsp -top {top}",
    cells={
        "SB_LUT4": Needs(luts=1),
        "SB_MAC16": Needs(dsps=1),
        **{f"SB_RAM40_4K{edges}": Needs(brams=1) for edges in ("", "NR", "NW", "NRNW")},
        "SB_SPRAM256KA": Needs(large=1),
    },
    flops=r"SB_DFF\w*",
    dsp=(Shape(a=16, b=16, part=16, least=11),),
    brams=(BlockRam(1, 64, 1, ((2, 2048), (4, 1024), (8, 512), (16, 256))),),
    lutram=None,
    per_bit=PerBit(adder=1.0, step=1.15, odd=0.0, gated=1.0, constant=1.0, mux=1.0, quad=2.0, fixed=1.0, logic=1.0),
    lut_inputs=4,
    free_mux=1,
    dsp_name="16x16 multipliers",
    bram_name="block RAM (4 kbit)",
    lut_name="LUT4",
    large=(BlockRam(1, 2048, 4, ((16, 16384),), ports=1),),
    large_name="SPRAM (256 kbit)",
    flow=_FLOW,
    pll=Pll(_settings, _cell, takes_pin=True),
)

FAMILIES = (_ICE40,)
