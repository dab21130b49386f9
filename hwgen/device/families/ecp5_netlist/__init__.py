"""What is done to an ECP5's netlist between Yosys and nextpnr for the sake of the clock.

A netlist goes in as Yosys writes it in JSON, flattened, and comes out doing the same, cycle by cycle.
"""

from .absorb import absorb
from .replicate import replicate
from .retime import retime


def improved(netlist: dict) -> dict:
    """``netlist`` with registers in better places."""
    return replicate(absorb(retime(netlist)))
