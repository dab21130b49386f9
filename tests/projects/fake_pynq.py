"""A stand-in for ``pynq``: buffers, an overlay and DMAs that answer with what ``answers`` gives.

It behaves as PYNQ's own classes do where a driver could be wrong: a transfer is set up before it runs, needs a buffer
that was allocated, fits the DMA, and is waited for once; results move only when a receiver is there for them.
"""

from types import ModuleType

import numpy as np


class Buffer(np.ndarray):
    """What ``pynq.allocate`` gives; ``freed`` after ``freebuffer``."""

    freed = False

    def freebuffer(self):
        self.freed = True


class Channel:
    """One direction of a DMA."""

    def __init__(self, most, started):
        self.most, self.started = most, started
        self.buffer, self.size, self.done = None, 0, False

    def transfer(self, array, start=0, nbytes=0):
        if self.buffer is not None:
            raise RuntimeError("DMA channel not idle")
        if not isinstance(array, Buffer) or array.freed:
            raise AttributeError("not a buffer that pynq.allocate gave")
        size = nbytes or array.nbytes - start
        if size > self.most or start + size > array.nbytes:
            raise ValueError(f"a transfer of {size} bytes is too large")
        self.buffer, self.size, self.done = array[start : start + size], size, False
        self.started(self)

    def wait(self):
        if self.buffer is None:
            raise RuntimeError("DMA channel not started")
        if not self.done:
            raise TimeoutError("the transfer never ends")
        self.buffer = None


class Dma:
    def __init__(self, most, sends, started):
        if sends:
            self.sendchannel = Channel(most, started)
        self.recvchannel = Channel(most, lambda channel: None)


def module(answers, cells, most):
    """The module; ``answers(bytes)`` gives the bytes of every output, which leave over the DMAs ``cells``; None where
    nothing comes of them."""
    fake = ModuleType("pynq")
    fake.bitfiles, fake.buffers, fake.transfers = [], [], []

    def allocate(shape, dtype):
        buffer = np.zeros(shape, dtype).view(Buffer)
        fake.buffers.append(buffer)
        return buffer

    class Overlay:
        def __init__(self, bitfile_name, download=True):
            fake.bitfiles.append((bitfile_name, download))
            for n, cell in enumerate(cells):
                setattr(self, cell, Dma(most, n == 0, self._sent))

        def _sent(self, sender):
            blob = bytes(sender.buffer)
            fake.transfers.append(len(blob))
            results = answers(blob)
            for cell, result in zip(cells, results, strict=True) if results is not None else ():
                channel = getattr(self, cell).recvchannel
                if channel.buffer is None:
                    raise RuntimeError(f"nobody receives from {cell}")
                if len(result) > channel.size:
                    raise RuntimeError("DMA internal error: more came than was asked for")
                channel.buffer[: len(result)] = np.frombuffer(result, np.uint8)
                channel.done = len(result) == channel.size
            sender.done = True

    fake.allocate, fake.Overlay = allocate, Overlay
    return fake
