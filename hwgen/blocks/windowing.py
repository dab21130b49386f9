"""Timing and cost of window buffers: a ring in one RAM, a ring of columns, and registers behind line memories."""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from hwgen.cost.actor import Actor, Give, Take, counting, ones
from hwgen.cost.logic import Logic, adder_register, counter, index_bits, loop, running, total
from hwgen.cost.needs import MemoryNeed
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import FeatureMap
from hwgen.memory.columns import ColumnBuffer, completing_rows, slide_raster
from hwgen.memory.delay import DelayLine
from hwgen.memory.queue import queue_logic
from hwgen.memory.ram import ram_need, read_register
from hwgen.memory.raster import Raster

#: Results kept: the foldings of a layer share them.
SHARED = 64


@lru_cache(SHARED)
def map_raster(map_: FeatureMap, window: Window, lanes: int) -> Raster:
    """``window`` over ``map_`` in beats of ``lanes``."""
    return Raster(map_.height, map_.width, map_.channels // lanes, window)


@lru_cache(SHARED)
def ring_logic(raster: Raster, packs: int, passes: int) -> Logic:
    """Counters, addresses and bookkeeping of a window buffer."""
    outer, capacity = [passes, packs, *raster.outputs], ring_capacity(raster)
    step = [raster.words // packs, *raster.window.kernel, *outer]
    levels = sum(count > 1 for count in step)
    skipped = max(int((raster.release - raster.need).max()), 0)
    arrived, free = (capacity + raster.frame_words).bit_length(), (capacity + skipped).bit_length()
    book = adder_register(arrived) + Logic(step=arrived) + adder_register(free)
    lookups = Logic(logic=sum(map(index_bits, raster.outputs)) + arrived + free // 2)
    address = running(index_bits(capacity), levels, modulus=True)
    return (
        total(map(loop, [*step, *outer]))
        + counter(capacity)
        + address
        + _outside_logic(raster, levels)
        + book
        + lookups
        + Logic(logic=4, register=4)
    )


def _outside_logic(raster: Raster, levels: int) -> Logic:
    """Where the tap lies, and whether that is in the padding."""
    window = raster.window
    if not any(window.pads):
        return Logic()
    ends = zip((raster.height, raster.width), window.pads[:2], window.pads[2:], strict=True)
    widths = [max(size + after - 1, before).bit_length() + (before > 0) for size, before, after in ends]
    return total(running(width, levels) + Logic(constant=width) for width in widths) + Logic(logic=2, register=1)


@lru_cache(SHARED)
def ring_capacity(raster: Raster) -> int:
    """Words for a window and for what comes in while it is worked on: rows skipped by the stride, or a whole pixel.

    A map of one pixel is buffered twice, so that a frame comes in while the one before is worked on.
    """
    if raster.height * raster.width == 1:
        return 2 * raster.words
    rows, columns = raster.window.strides
    return raster.span + ((rows - 1) * raster.width + columns) * raster.words + 4


def ring_take(raster: Raster, steps: int) -> Take:
    """What a block takes through a :class:`RingWindow` that makes ``steps`` steps at each position."""
    need = np.repeat(raster.need.ravel(), steps)
    release = np.repeat(np.append(0, raster.release.ravel()[:-1]), steps)
    release[steps - 1 :: steps] = raster.release.ravel()
    return Take(need, release, ring_capacity(raster))


def line_actor(raster: Raster) -> Actor:
    """The timing of a :class:`ColumnBuffer`: a word of the padded raster per cycle, of which only rows that complete
    windows leave it."""
    rows, columns = slide_raster(raster)
    left = raster.window.pads[1]
    inside = np.zeros((rows, columns, raster.words), np.int64)
    inside[: raster.height, left : left + raster.width] = 1
    given = np.cumsum(np.repeat(completing_rows(raster), columns * raster.words))
    give = Give(given, ColumnBuffer.LATENCY, ColumnBuffer.QUEUE)
    return Actor("columns", ones(inside.size), (Take(np.cumsum(inside.ravel())),), (give,))


def slide_actors(raster: Raster, packs: int) -> tuple[Actor, Actor]:
    """The timing of a :class:`SlidingWindow` up to its complete windows."""
    rows, columns = sum(completing_rows(raster)), slide_raster(raster)[1]
    extent, left = raster.window.extent, raster.window.pads[1]
    pack = raster.words // packs
    ends = np.zeros((rows, columns, raster.words), np.int64)
    ends[:, raster.corners[1] + extent[1] - 1 + left, pack - 1 :: pack] = 1
    given = np.cumsum(ends.ravel())
    give = Give(given, latency=0, queue=1, reserve=np.append(0, given[:-1]) + 1, credit_delay=0)
    return line_actor(raster), Actor("window", ones(ends.size), (Take(counting(ends.size)),), (give,))


@lru_cache(SHARED)
def column_rasters(raster: Raster) -> tuple[Raster, Raster]:
    """``raster`` taken apart: windows of a single column, and windows of a single row over what these give."""
    window = raster.window
    top, left, bottom, right = window.pads
    down = Window((window.kernel[0], 1), (window.strides[0], 1), (window.dilations[0], 1), (top, 0, bottom, 0))
    across = Window((1, window.kernel[1]), (1, window.strides[1]), (1, window.dilations[1]), (0, left, 0, right))
    lines = replace(raster, window=down)
    return lines, replace(raster, height=lines.outputs[0], window=across)


def line_memories(raster: Raster, word: int) -> tuple[MemoryNeed, ...]:
    """The rows before the newest, in words of ``word`` bits, and the queue of columns."""
    lines = raster.window.extent[0] - 1
    queue = ram_need("columns", raster.window.kernel[0] * word, ColumnBuffer.QUEUE)
    return (ram_need("lines", word * lines, raster.width * raster.words), queue) if lines else (queue,)


def line_logic(raster: Raster, word: int) -> Logic:
    """Padding and the oldest rows moved up, counters."""
    lines, depth = raster.window.extent[0] - 1, raster.width * raster.words
    queue = queue_logic(ColumnBuffer.QUEUE, raster.window.kernel[0] * word)
    counters = total(map(loop, (*slide_raster(raster), raster.words)))
    padding = Logic(fixed=word, register=word + 1, logic=8, constant=2 * index_bits(slide_raster(raster)[1]))
    if not lines:
        return queue + counters + padding
    rows = Logic(logic=3 * lines, register=2 * lines + 1 + index_bits(depth))
    return (
        queue
        + counters
        + padding
        + rows
        + counter(depth)
        + Logic(mux=lines * word)
        + read_register(lines * word, depth)
    )


def slide_memories(raster: Raster, packs: int, word: int) -> tuple[MemoryNeed, ...]:
    """Line memories, and delay lines between taps of a row, for words of ``word`` bits."""
    gap, delays = tap_gap(raster, packs), delay_width(raster, word)
    in_memory = delays and DelayLine.in_memory(gap)
    return (*line_memories(raster, word), *([ram_need("delays", delays, gap)] if in_memory else []))


def slide_logic(raster: Raster, packs: int, passes: int, portions: int, word: int, held: int) -> Logic:
    """Window registers, delay lines, a holding register of ``held`` bits in ``portions``, counters."""
    (rows, columns), gap, delays = raster.window.kernel, tap_gap(raster, packs), delay_width(raster, word)
    window = rows * columns * raster.words // packs * word
    in_memory = delays and DelayLine.in_memory(gap)
    delay = Logic(register=delays * gap)
    if in_memory:
        delay = counter(gap) + Logic(register=index_bits(gap)) + read_register(delays, gap)
    registers = Logic(mux=held if portions > 1 else 0, register=window + held + rows * word)
    loops = [raster.words // packs, packs, slide_raster(raster)[1], portions, passes, passes]
    control = Logic(logic=10 + raster.outputs[1].bit_length(), register=7)
    return line_logic(raster, word) + registers + delay + total(map(loop, loops)) + control


def tap_gap(raster: Raster, packs: int) -> int:
    """Words between those of neighbouring taps of a row."""
    return raster.window.dilations[1] * raster.words - raster.words // packs


def delay_width(raster: Raster, word: int) -> int:
    """Bits of all delay lines side by side."""
    rows, columns = raster.window.kernel
    return rows * (columns - 1) * word
