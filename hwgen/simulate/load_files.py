"""The load of a design as files: what a host sends, and what the Verilog test bench reads."""

from dataclasses import dataclass

from hwgen.dataflow.plan import Plan
from hwgen.simulate.testbench import LOAD_FILE, hex_lines
from hwgen.top.loader import LoadPlan

LOAD_BYTES = "weights.bin"


@dataclass(frozen=True)
class Load:
    """``image``: bytes in the order in which they are sent, the first in the lowest bits of a beat of ``beat_bytes``;
    what the last beat has left is 0."""

    image: bytes
    beat_bytes: int

    @staticmethod
    def of(plan: Plan) -> "Load":
        """The constants of ``plan``."""
        image, size = plan.load_image(), LoadPlan.of(plan).beat_bytes
        return Load(image + bytes(-len(image) % size), size)

    def files(self) -> dict[str, bytes]:
        """Both forms by file name."""
        size = self.beat_bytes
        words = [int.from_bytes(self.image[at : at + size], "little") for at in range(0, len(self.image), size)]
        return {LOAD_BYTES: self.image, LOAD_FILE: hex_lines(words, 8 * size).encode()}
