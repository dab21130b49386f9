"""What moves over the link, in bytes: frames in, results out."""

import numpy as np

from hwgen.graph.types import IntType
from hwgen.link.protocol import BOARD_HEADER, CRC_BYTES, HOST_HEADER, MOST_DOWN, MOST_UP
from hwgen.top.axi import AxiTop, element_bits

BITS_PER_BYTE = 10  # on a serial line, with start and stop


def frame_bytes(core: AxiTop) -> tuple[int, int]:
    """Bytes of a frame to the core, with that in front where weights are loaded, and of its results."""
    tag = len(core.results) > 1
    elements = [(port.beats * port.lanes, element_bits(port.type) // 8 + tag) for port in core.results]
    down = core.source.beats * core.source.bits // 8 + (core.loads is not None)
    return down, sum(count * size for count, size in elements)


def link_rate(baud: int, core: AxiTop) -> float:
    """Frames a second at most: what a line of ``baud`` takes with full packets both ways, nothing escaped."""
    down, up = frame_bytes(core)
    down += -(-down // MOST_DOWN) * (1 + HOST_HEADER + CRC_BYTES)
    up += -(-up // MOST_UP) * (1 + BOARD_HEADER + CRC_BYTES)
    return baud / BITS_PER_BYTE / max(down, up)


def to_bytes(integers: np.ndarray, type_: IntType) -> bytes:
    """Integers in raster order, each in whole bytes, the lowest first."""
    size = element_bits(type_) // 8
    words = np.asarray(integers).astype(np.int64).reshape(-1, 1)
    return ((words >> (8 * np.arange(size))) & 0xFF).astype(np.uint8).tobytes()


def from_bytes(content: np.ndarray, type_: IntType) -> np.ndarray:
    """The integers of bytes, uint8 [elements, size], in the type's own dtype."""
    size = content.shape[1]
    values = content.astype(np.int64) @ (1 << 8 * np.arange(size, dtype=np.int64))
    if type_.signed:
        values -= (values >> (8 * size - 1)) << (8 * size)
    return values.astype(type_.dtype)
