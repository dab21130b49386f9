"""What moves over the link, in bytes: frames in, results out."""

from hwgen.link.protocol import BOARD_HEADER, CRC_BYTES, HOST_HEADER, MOST_DOWN, MOST_UP
from hwgen.top.axi import AxiTop

BITS_PER_BYTE = 10  # on a serial line, with start and stop


def frame_bytes(core: AxiTop) -> tuple[int, int]:
    """Bytes of a frame to the core, with that in front where weights are loaded, and of its results."""
    tag = len(core.results) > 1
    up = sum(port.beats * port.lanes * (port.element_bytes + tag) for port in core.results)
    return core.source.frame_bytes + (core.loads is not None), up


def link_rate(baud: int, core: AxiTop) -> float:
    """Frames a second at most: what a line of ``baud`` takes with full packets both ways, nothing escaped."""
    down, up = frame_bytes(core)
    down += -(-down // MOST_DOWN) * (1 + HOST_HEADER + CRC_BYTES)
    up += -(-up // MOST_UP) * (1 + BOARD_HEADER + CRC_BYTES)
    return baud / BITS_PER_BYTE / max(down, up)
