"""Timing and cost of the two window buffers: a ring in one RAM, and registers behind line memories."""

import numpy as np

from hwgen.memory.columns import ColumnBuffer, completing_rows, slide_raster
from hwgen.memory.delay import DelayLine
from hwgen.memory.raster import Raster

from .logic import Logic, counter
from .operator import MemoryNeed, ring_memory
from .timing import Actor


def ring_logic(raster: Raster, packs: int, passes: int) -> Logic:
    """Counters, addresses and bookkeeping of a window buffer."""
    outer = [passes, packs, *raster.outputs]
    loops = [raster.words // packs, *raster.window.kernel, *outer, *outer]
    total = Logic()
    for count in loops:
        total += counter(count)
    words = raster.frame_words.bit_length()
    return total + Logic(adder=6 * words, logic=6 * words, register=4 * words)


def ring_capacity(raster: Raster) -> int:
    """Words for a window and for what comes in while it is worked on: rows skipped by the stride, or a whole pixel.

    A map of one pixel is buffered twice, so that a frame comes in while the one before is worked on.
    """
    if raster.height * raster.width == 1:
        return 2 * raster.words
    rows, columns = raster.window.strides
    return raster.span + ((rows - 1) * raster.width + columns) * raster.words + 4


def ring_actor(name: str, raster: Raster, steps: int, capacity: int, **rest) -> Actor:
    """The timing of a block behind a :class:`RingWindow` that makes ``steps`` steps at each position."""
    need = np.repeat(raster.need.ravel(), steps)
    release = np.repeat(np.append(0, raster.release.ravel()[:-1]), steps)
    release[steps - 1 :: steps] = raster.release.ravel()
    return Actor(name=name, need=need, release=release, capacity=capacity, **rest)


def slide_actors(raster: Raster, packs: int) -> tuple[Actor, Actor]:
    """The timing of a :class:`SlidingWindow` up to its complete windows: a word of the padded raster per cycle, of
    which only rows that complete windows get past the line memories."""
    rows, columns = slide_raster(raster)
    extent, left = raster.window.extent, raster.window.pads[1]
    inside = np.zeros((rows, columns, raster.words), np.int64)
    inside[: raster.height, left : left + raster.width] = 1
    useful, pack = np.array(completing_rows(raster)), raster.words // packs
    ends = np.zeros((int(useful.sum()), columns, raster.words), np.int64)
    ends[:, (raster.corners[1] + extent[1] - 1 + left)[:, None], np.arange(pack - 1, raster.words, pack)] = 1
    pushed, give = np.arange(1, ends.size + 1), np.cumsum(ends.ravel())
    lines = Actor(
        name="columns",
        need=np.cumsum(inside.ravel()),
        busy=np.ones(inside.size, np.int64),
        give=np.cumsum(np.repeat(useful, columns * raster.words)),
        latency=ColumnBuffer.LATENCY,
        queue=ColumnBuffer.QUEUE,
        credit_delay=1,
    )
    window = Actor(
        name="window",
        need=pushed,
        busy=np.ones_like(pushed),
        give=give,
        reserve=np.append(0, give[:-1]) + 1,
        latency=0,
        queue=1,
        credit_delay=0,
    )
    return lines, window


def slide_memories(raster: Raster, packs: int, word: int) -> tuple[MemoryNeed, ...]:
    """Line memories, and delay lines between taps of a row, for words of ``word`` bits."""
    lines, gap = raster.window.extent[0] - 1, tap_gap(raster, packs)
    needs = []
    if lines:
        needs.append(ring_memory("lines", word * lines, raster.width * raster.words))
    if delay_width(raster, word) and DelayLine.in_memory(gap):
        needs.append(ring_memory("delays", delay_width(raster, word), gap))
    return tuple(needs)


def slide_logic(raster: Raster, packs: int, passes: int, word: int, held: int) -> Logic:
    """Window registers, delay lines, a holding register of ``held`` bits, counters."""
    (rows, columns), gap, delays = raster.window.kernel, tap_gap(raster, packs), delay_width(raster, word)
    window = rows * columns * raster.words // packs * word
    in_memory = delays and DelayLine.in_memory(gap)
    line = Logic(register=delays) + counter(gap) if in_memory else Logic(register=delays * gap)
    older = (raster.window.extent[0] - 1) * word
    return Logic(logic=held + older, register=window + held) + line + ring_logic(raster, packs, passes)


def tap_gap(raster: Raster, packs: int) -> int:
    """Words between those of neighbouring taps of a row."""
    return raster.window.dilations[1] * raster.words - raster.words // packs


def delay_width(raster: Raster, word: int) -> int:
    """Bits of all delay lines side by side."""
    rows, columns = raster.window.kernel
    return rows * (columns - 1) * word
