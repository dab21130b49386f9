"""The load of a design as files: what a host sends, and what the Verilog test bench reads."""

import numpy as np

from hwgen.dataflow.plan import Plan
from hwgen.hdl.contents import Contents
from hwgen.simulate.testbench import LOAD_FILE
from hwgen.top.loader import LoadPlan

LOAD_BYTES = "weights.bin"


def load_rows(plan: Plan) -> np.ndarray:
    """The constants of ``plan`` as beats, uint8 [beats, bytes], in the order in which they are sent, the first byte
    lowest; what the last beat has left is 0."""
    image, size = plan.load_image(), LoadPlan.of(plan).beat_bytes
    return np.frombuffer(image + bytes(-len(image) % size), np.uint8).reshape(-1, size)


def load_files(plan: Plan) -> dict[str, bytes]:
    """Both forms by file name."""
    rows = load_rows(plan)
    return {LOAD_BYTES: rows.tobytes(), LOAD_FILE: Contents(rows, 8 * rows.shape[1]).hex_lines().encode()}
