"""What is done to an ECP5's netlist between Yosys and nextpnr for the sake of the clock; and what nextpnr times not.

A netlist goes in as Yosys writes it in JSON, flattened, and comes out doing the same, cycle by cycle.
"""

from .absorb import absorb
from .carries import carries
from .cascades import cascades
from .replicate import replicate
from .retime import retime


def improved(netlist: dict, multipliers: int) -> dict:
    """``netlist`` with registers in better places, cascades in those that a device with so many ``multipliers`` has for
    them, and carry chains of fewer LUTs."""
    return replicate(cascades(absorb(retime(carries(netlist))), multipliers))
