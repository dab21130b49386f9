"""AMD's AXI DMA in simple mode, as the block design sets it up and the drivers use it."""

LENGTH_BITS = 26  # of its length registers: the most it has
#: Where the control registers of the first DMA are, and how far apart those of the next; within what the processor's
#: first master port reaches (UG585, table 4-1; UG1085, table 10-1).
ADDRESSES = {"zynq": (0x4040_0000, 0x1_0000), "mpsoc": (0xA000_0000, 0x1_0000)}

STATUS = "status_gpio"  # the cell by which the processor reads `frame_error`

#: What one SmartConnect joins to memory: a port for each DMA that receives, and one for that which sends.
MOST_OUTPUTS = 15


def addresses(system: str | None, outputs: int) -> tuple[list[int], int]:
    """Of the registers of every DMA, and those of :data:`STATUS` behind them."""
    base, step = ADDRESSES[system or "zynq"]
    return [base + n * step for n in range(outputs)], base + outputs * step


def dma_names(outputs: int) -> list[str]:
    """A DMA for every output; the first one sends, too."""
    return [f"dma_{n}" for n in range(outputs)]
