"""What it takes to bring the words of a DMA to the beats of a network and back: Yosys' count, and the speed in cycles.

    python -m benchmarks.gearboxes

Prints a table in Markdown.
"""

from math import gcd
from random import Random

import click

from hwgen.device.synth import count, synthesise
from hwgen.device.targets import device
from hwgen.hdl.rtlil import to_rtlil
from hwgen.projects.gearbox import Gearbox
from hwgen.testing import Simulated

#: Bytes taken and given.
WIDTHS = ((4, 1), (1, 4), (4, 4), (4, 3), (3, 4), (8, 6), (16, 24), (4, 25), (25, 4))
WORDS = 600  # of the narrower side, about


@click.command()
@click.option("--device", "name", default="xc7z020", show_default=True)
def main(name: str) -> None:
    """Synthesise and simulate a gearbox for each pair of widths."""
    print(f"| bytes taken | bytes given | LUTs ({name}) | flip-flops | cycles with the narrower side moving |")
    print("|---|---|---|---|---|")
    for taken, given in WIDTHS:
        box = Gearbox(taken, given)
        counted = count(synthesise(to_rtlil(box, "gearbox"), "gearbox", device(name)), device(name))
        moving, cycles = pace(taken, given)
        print(f"| {taken} | {given} | {counted.luts:,} | {counted.ffs:,} | {moving:,} of {cycles:,} |", flush=True)


def pace(taken: int, given: int) -> tuple[int, int]:
    """Words of the narrower side in one transfer, and the cycles from its first to its last."""
    count = max(WORDS * min(taken, given) // (taken * given), 1) * taken * given
    blob, unit = Random(0).randbytes(count), gcd(taken, given)
    last = 1 << (8 * taken + (taken // unit - 1).bit_length())
    words = [int.from_bytes(blob[at : at + taken], "little") for at in range(0, count, taken)]
    words[-1] |= last
    sent, found = Simulated(Gearbox(taken, given))({"i": words}, {"o": count // given})
    cycles = (sent["i"] if taken < given else found["o"]).cycles
    return len(cycles), cycles[-1] - cycles[0] + 1


if __name__ == "__main__":
    main()
