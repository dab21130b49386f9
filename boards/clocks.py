"""Clocks of a wished rate from that of a board: the settings of each family's PLL, and the cell with them."""

from collections.abc import Iterator
from dataclasses import dataclass

from amaranth.hdl import Const, Instance, Signal

from hwgen.graph.errors import InputError

MHZ = 1e6


@dataclass(frozen=True)
class Setting:
    """A PLL that makes ``output`` Hz of ``source`` Hz; ``parameters`` are its cell's."""

    source: float
    output: float
    parameters: tuple[tuple[str, int | str | float], ...]


def ecp5(source: float) -> Iterator[Setting]:
    """EHXPLLL with its first output fed back. Limits: Lattice FPGA-DS-02012, table 3.16."""
    for reference in range(1, 9):
        if not 3.125 * MHZ <= source / reference <= 400 * MHZ:
            continue
        for feedback in range(1, 81):
            output = source / reference * feedback
            # The oscillator in the middle of its range, 400 to 800 MHz.
            divider = max(1, min(128, round(600 * MHZ / output)))
            if output <= 400 * MHZ and 400 * MHZ <= output * divider <= 800 * MHZ:
                values = {"CLKI_DIV": reference, "CLKFB_DIV": feedback, "CLKOP_DIV": divider}
                fixed = {"FEEDBK_PATH": "CLKOP", "CLKOP_ENABLE": "ENABLED", "CLKOP_CPHASE": divider - 1}
                yield Setting(source, output, tuple((values | fixed).items()))


def ice40(source: float) -> Iterator[Setting]:
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
                values = {"FEEDBACK_PATH": "SIMPLE", "DIVR": reference, "DIVF": feedback, "DIVQ": power}
                values["FILTER_RANGE"] = 1 + sum(phase >= limit * MHZ for limit in filters)
                if 16 * MHZ <= oscillator / (1 << power) <= 275 * MHZ:
                    yield Setting(source, oscillator / (1 << power), tuple(values.items()))


def gowin(source: float) -> Iterator[Setting]:
    """rPLL of the GW1N(R)-9C. Limits: Gowin UG286, and DS117 for its oscillator."""
    for reference in range(64):
        if not 3 * MHZ <= source / (reference + 1) <= 400 * MHZ:
            continue
        for feedback in range(64):
            output = source / (reference + 1) * (feedback + 1)
            for divider in (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128):
                if 400 * MHZ <= output * divider <= 1200 * MHZ:
                    values = {"FCLKIN": f"{source / MHZ:g}", "IDIV_SEL": reference, "FBDIV_SEL": feedback}
                    yield Setting(source, output, tuple((values | {"ODIV_SEL": divider}).items()))


FAMILIES = {"ecp5": ecp5, "ice40": ice40, "gowin": gowin}


def setting(flow: str, source: float, wished: float) -> Setting | None:
    """The PLL whose output comes nearest to ``wished`` Hz from below; None where the board's own clock is just that.

    Raises InputError where no setting comes within a tenth.
    """
    if abs(source - wished) < 1:
        return None
    able = [found for found in FAMILIES[flow](source) if found.output <= wished * (1 + 1e-9)]
    best = max(able, key=lambda found: (found.output, -dict(found.parameters).get("ODIV_SEL", 0)), default=None)
    if best is None or best.output < 0.9 * wished:
        rates = sorted({round(found.output / MHZ, 3) for found in FAMILIES[flow](source)})
        raise InputError(
            f"the PLL makes no {wished / MHZ:g} MHz from {source / MHZ:g} MHz: give a --clock between {rates[0]:g} and "
            f"{rates[-1]:g}"
        )
    return best


def cell(flow: str, chosen: Setting, source, output: Signal, locked: Signal) -> Instance:
    """The PLL's cell; for iCE40 ``source`` is the pin itself."""
    parameters = dict(chosen.parameters)
    if flow == "ice40":
        widths = {"DIVR": 4, "DIVF": 7, "DIVQ": 3, "FILTER_RANGE": 3}
        typed = {f"p_{n}": Const(v, widths[n]) if n in widths else v for n, v in parameters.items()}
        pins = {"i_PACKAGEPIN": source, "o_PLLOUTGLOBAL": output, "o_LOCK": locked}
        return Instance("SB_PLL40_PAD", i_RESETB=Const(1), i_BYPASS=Const(0), **typed, **pins)
    given = {f"p_{name}": value for name, value in parameters.items()}
    if flow == "ecp5":
        pins = {"i_CLKI": source, "o_CLKOP": output, "i_CLKFB": output, "o_LOCK": locked}
        idle = ("RST", "STDBY", "PHASESEL0", "PHASESEL1", "PHASEDIR", "PHASESTEP", "PHASELOADREG", "PLLWAKESYNC")
        return Instance("EHXPLLL", **given, **pins, i_ENCLKOP=Const(1), **{f"i_{name}": Const(0) for name in idle})
    fixed = {"p_DEVICE": "GW1NR-9C", "p_DYN_IDIV_SEL": "false", "p_DYN_FBDIV_SEL": "false", "p_DYN_ODIV_SEL": "false"}
    fixed |= {"p_PSDA_SEL": "0000", "p_DUTYDA_SEL": "1000", "p_DYN_DA_EN": "true", "p_CLKFB_SEL": "internal"}
    fixed |= {"p_CLKOUT_BYPASS": "false", "p_CLKOUTP_BYPASS": "false", "p_CLKOUTD_BYPASS": "false"}
    fixed |= {"p_DYN_SDIV_SEL": 2, "p_CLKOUTD_SRC": "CLKOUT", "p_CLKOUTD3_SRC": "CLKOUT"}
    pins = {"i_CLKIN": source, "o_CLKOUT": output, "o_LOCK": locked, "i_CLKFB": Const(0)}
    idle = {"RESET": 1, "RESET_P": 1, "FBDSEL": 6, "IDSEL": 6, "ODSEL": 6, "PSDA": 4, "DUTYDA": 4, "FDLY": 4}
    return Instance("rPLL", **given, **fixed, **pins, **{f"i_{name}": Const(0, bits) for name, bits in idle.items()})
