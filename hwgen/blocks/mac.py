"""The multiply-accumulate unit behind convolutions and fully connected layers.

Window buffer -> weights -> dot products -> requantiser -> queue. The window is read once for each group of output
channels; neither the portions of the window nor the groups need divide what they cut up.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Const, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.graph.requantize import Requantization
from hwgen.graph.types import FeatureMap, IntType
from hwgen.graph.window import Window
from hwgen.memory.columns import ColumnBuffer, slide_raster
from hwgen.memory.queue import Outlet, queue_depth, wrapping_increment
from hwgen.memory.raster import Raster
from hwgen.memory.ring import RingWindow
from hwgen.memory.rom import Rom, pack, rom_latency
from hwgen.memory.sliding import SlidingWindow

from .arithmetic import DotProduct, dot_latency, product_type
from .logic import Logic, adder_tree, counter
from .operator import Cost, MemoryNeed, Operator, Products, ring_memory, rom_need
from .requantizer import DIGIT_BITS, Requantizer, RequantizerPlan
from .stream import beat_layout, beat_stream, join, queue_logic, queue_memory
from .sums import exact_float, window_sums
from .timing import Actor


@dataclass(frozen=True)
class MacFolding:
    """How a layer is laid out in hardware.

    ``window``: ``"ring"`` (one word a cycle from RAM; ``portion`` equals ``lanes_in``) or ``"sliding"`` (registers;
    any ``portion``). ``portion``: elements of the window taken in a cycle. ``outputs``: output channels at a time.
    ``lanes_in``, ``lanes_out``: elements in a beat. ``serial``: see :class:`RequantizerPlan`.
    """

    window: str
    portion: int
    outputs: int
    lanes_in: int
    lanes_out: int
    serial: bool = False

    def __str__(self) -> str:
        return f"{self.portion}x{self.outputs} {self.window}"


@dataclass(frozen=True, eq=False)
class MacLayer:
    """What is computed: ``weights`` int64 [OC, KH, KW, IC] (zero point taken off) over ``window``s of ``input``."""

    input: FeatureMap
    output: FeatureMap
    window: Window
    weights: np.ndarray
    input_zero: int
    requantization: Requantization

    def raw(self, x: np.ndarray) -> np.ndarray:
        """Raw sums [N, OH, OW, OC] of ``x`` [N, H, W, C], neither bias nor zero points taken into account.

        Integers held exactly by floats, so that the product runs in BLAS: float32 below 2^24, else float64.
        """
        exact = exact_float(self.weights, self.input.type)
        return window_sums(x, self.weights, self.window, self.input_zero, exact)

    def golden(self, x: np.ndarray) -> np.ndarray:
        return self.requantization.golden(self.raw(x), self.output.type.dtype)


def raw_range(weights: np.ndarray, x: IntType) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest raw sum of each output channel, partial sums included; int64 [OC]."""
    flat = weights.reshape(len(weights), -1)
    corners = np.stack([flat * x.min, flat * x.max, np.zeros_like(flat)])
    return corners.min(axis=0).sum(axis=1), corners.max(axis=0).sum(axis=1)


@dataclass(frozen=True, eq=False)
class MacPlan:
    """A layer with its folding: every number that hardware, timing and cost share."""

    layer: MacLayer
    folding: MacFolding

    @cached_property
    def raster(self) -> Raster:
        map_ = self.layer.input
        return Raster(map_.height, map_.width, map_.channels // self.folding.lanes_in, self.layer.window)

    @property
    def elements(self) -> int:
        """Elements of a window."""
        return self.layer.window.taps * self.layer.input.channels

    @property
    def portions(self) -> int:
        return -(-self.elements // self.folding.portion)

    @property
    def groups(self) -> int:
        return -(-self.layer.output.channels // self.folding.outputs)

    @property
    def multipliers(self) -> int:
        return self.folding.portion * self.folding.outputs

    @cached_property
    def weight_type(self) -> IntType:
        weights = self.layer.weights
        return IntType.holding(int(weights.min()), int(weights.max()))

    @cached_property
    def sum_type(self) -> IntType:
        low, high = raw_range(self.layer.weights, self.layer.input.type)
        return IntType.holding(min(int(low.min()), -1), int(high.max()))

    @property
    def requantizer(self) -> RequantizerPlan:
        folding = self.folding
        return RequantizerPlan.of(self.layer.requantization, folding.outputs, folding.lanes_out, folding.serial)

    @property
    def weight_depth(self) -> int:
        return self.groups * self.portions

    @property
    def weight_width(self) -> int:
        return self.multipliers * self.weight_type.width

    def weight_words(self) -> list[int]:
        """The weight memory: a word for each group and portion, output channels outermost in it."""
        channels, folding = len(self.layer.weights), self.folding
        padded = np.zeros((self.groups * folding.outputs, self.portions * folding.portion), np.int64)
        padded[:channels, : self.elements] = self.layer.weights.reshape(channels, -1)
        shape = (self.groups, folding.outputs, self.portions, folding.portion)
        words = padded.reshape(shape).transpose(0, 2, 1, 3).reshape(self.weight_depth, -1)
        return [pack(word.tolist(), self.weight_type.width) for word in words]

    @property
    def beats(self) -> tuple[int, int]:
        """Output beats of a full group and of the last."""
        folding, channels = self.folding, self.layer.output.channels
        last = channels - (self.groups - 1) * folding.outputs
        return folding.outputs // folding.lanes_out, last // folding.lanes_out

    @property
    def latency(self) -> int:
        """From the end of a step to its first beat being offered."""
        front = RingWindow.LATENCY if self.folding.window == "ring" else SlidingWindow.LATENCY
        dot = dot_latency(self.folding.portion, rom_latency(self.weight_depth))
        return front + dot + self.requantizer.latency + Outlet.LATENCY - 1

    @property
    def queue(self) -> int:
        return queue_depth(self.latency, self.portions, self.beats[0])

    @property
    def capacity(self) -> int:
        """Words in the ring: a window's span, and what comes while one is worked on."""
        raster = self.raster
        return ring_capacity(raster)

    def actors(self) -> tuple[Actor, ...]:
        """Timing of the unit: one actor with a ring, three with a sliding window."""
        give = np.cumsum(np.tile([self.beats[0]] * (self.groups - 1) + [self.beats[1]], self.raster.positions))
        dot = {
            "busy": np.full(len(give), self.portions),
            "give": give,
            "reserve": np.append(0, give[:-1]) + self.beats[0],
            "latency": self.latency,
            "queue": self.queue,
            "spacing": self.requantizer.spacing,
        }
        if self.folding.window == "ring":
            return (ring_actor("mac", self.raster, self.groups, self.capacity, **dot),)
        need = np.repeat(np.arange(1, self.raster.positions + 1), self.groups)
        return (*slide_actors(self.raster), Actor(name="mac", need=need, lead=1, **dot))

    @property
    def products(self) -> tuple[Products, ...]:
        """Multipliers of the dot products and of the requantiser, by operand widths."""
        x, weight = self.layer.input.type, self.weight_type
        operand = self.layer.requantization.factor_type
        mac = Products(self.multipliers, x.width + (not x.signed), weight.width + (not weight.signed))
        requantizer = Products(self.requantizer.multipliers, operand.width + (not operand.signed), DIGIT_BITS + 1)
        return (mac, requantizer) if requantizer.count else (mac,)

    @property
    def memories(self) -> tuple[MemoryNeed, ...]:
        """Weights, window buffer, constants, queue."""
        return (
            rom_need("weights", self.weight_width, self.weight_depth),
            self._window_memory(),
            self.requantizer.memory(self.layer.requantization),
            queue_memory("queue", self.queue, self.layer.output.type.width * self.folding.lanes_out),
        )

    def _window_memory(self) -> MemoryNeed:
        word = self.layer.input.type.width * self.folding.lanes_in
        if self.folding.window == "ring":
            return ring_memory("window", word, self.capacity)
        lines = self.raster.window.extent[0] - 1
        return ring_memory("lines", word * lines, self.raster.width * self.raster.words if lines else 0)

    @property
    def logic(self) -> Logic:
        folding, sums = self.folding, self.sum_type.width
        product = product_type(self.layer.input.type, self.weight_type).width
        tree = adder_tree(product, folding.portion) + Logic(register=product * folding.portion)
        lane = tree + Logic(adder=sums, logic=sums // 2, register=sums)
        x_delay = Logic(register=folding.portion * self.layer.input.type.width) * rom_latency(self.weight_depth)
        flags = Logic(register=3 * self.latency)
        window = self._sliding_logic() if folding.window == "sliding" else ring_logic(self.raster, self.groups)
        return (
            window
            + folding.outputs * lane
            + x_delay
            + flags
            + counter(self.weight_depth)
            + Logic(register=self.weight_width)
            + self.requantizer.logic(self.layer.requantization, self.sum_type, self.layer.output.type)
            + queue_logic(self.queue, self.layer.output.type.width * folding.lanes_out)
        )

    def _sliding_logic(self) -> Logic:
        bits, raster = self.layer.input.type.width, self.raster
        chain = raster.window.kernel[0] * raster.window.extent[1] * self.layer.input.channels * bits
        hold = self.portions * self.folding.portion * bits
        column = (raster.window.extent[0] - 1) * self.folding.lanes_in * bits
        return Logic(logic=hold + column, register=chain + hold) + ring_logic(raster, self.groups)

    @property
    def interval(self) -> int:
        """A lower bound of the cycles per frame: working, taking, giving."""
        raster, folding = self.raster, self.folding
        rows, columns = slide_raster(raster) if folding.window == "sliding" else (raster.height, raster.width)
        work = raster.positions * self.groups * self.portions
        return max(work, rows * columns * raster.words, self.layer.output.elements // folding.lanes_out)

    @property
    def price(self) -> tuple[tuple[Products, ...], int]:
        """Multipliers, and bits of everything else with memories at a sixteenth."""
        logic, memory = self.logic, sum(need.bits for need in self.memories)
        return self.products, logic.adder + logic.logic + logic.register + memory // 16

    def cost(self, operator: Operator) -> Cost:
        return Cost.of(operator, self.folding, self.logic, self.memories, self.products)


def ring_logic(raster: Raster, groups: int) -> Logic:
    """Counters, addresses and bookkeeping of a window buffer."""
    rows, columns = raster.outputs
    loops = [raster.words, *raster.window.kernel, groups, rows, columns, groups, rows, columns]
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


def ring_actor(name: str, raster: Raster, groups: int, capacity: int, **rest) -> Actor:
    """The timing of a block behind a :class:`RingWindow`."""
    need = np.repeat(raster.need.ravel(), groups)
    release = np.repeat(np.append(0, raster.release.ravel()[:-1]), groups)
    release[groups - 1 :: groups] = raster.release.ravel()
    return Actor(name=name, need=need, release=release, capacity=capacity, **rest)


def slide_actors(raster: Raster) -> tuple[Actor, Actor]:
    """The timing of a :class:`SlidingWindow` up to its complete windows: a word of the padded raster per cycle."""
    rows, columns = slide_raster(raster)
    y, x = raster.corners
    extent, left = raster.window.extent, raster.window.pads[1]
    inside, ends = np.zeros((2, rows, columns, raster.words), np.int64)
    inside[: raster.height, left : left + raster.width] = 1
    ends[np.ix_(y + extent[0] - 1, x + extent[1] - 1 + left, [raster.words - 1])] = 1
    pushed, give = np.arange(1, ends.size + 1), np.cumsum(ends.ravel())
    lines = Actor(
        name="columns",
        need=np.cumsum(inside.ravel()),
        busy=np.ones_like(pushed),
        give=pushed,
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


class MacUnit(wiring.Component):
    """The hardware of a :class:`MacPlan`."""

    def __init__(self, plan: MacPlan):
        self.plan = plan
        layer, folding = plan.layer, plan.folding
        super().__init__(
            {
                "i": In(beat_stream(layer.input.type, folding.lanes_in)),
                "o": Out(beat_stream(layer.output.type, folding.lanes_out)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan, layer, folding = self.plan, self.plan.layer, self.plan.folding
        m.submodules.window = window = self._window()
        m.submodules.weights = weights = Rom(plan.weight_words(), plan.weight_width)
        m.submodules.dot = dot = DotProduct(
            layer.input.type, plan.weight_type, folding.portion, folding.outputs, plan.sum_type, weights.latency
        )
        m.submodules.requantizer = requantizer = Requantizer(
            layer.requantization, plan.requantizer, plan.sum_type, layer.output.type
        )
        full, last = plan.beats
        m.submodules.outlet = outlet = Outlet(self.o.payload.shape(), plan.queue, full, last)
        join(m, wiring.flipped(self.i), window.i, "input of the window buffer")
        if plan.weight_depth > 1:
            with m.If(window.strobe):
                m.d.sync += weights.address.eq(wrapping_increment(weights.address, plan.weight_depth))
        m.d.comb += [
            window.permit.eq(outlet.permit),
            outlet.debit.eq(window.go),
            outlet.short.eq(window.go_final),
            dot.strobe.eq(window.strobe),
            dot.first.eq(window.first),
            dot.last.eq(window.last),
            dot.x.eq(self._padded(window)),
            dot.weights.as_value().eq(weights.data),
            requantizer.done.eq(dot.done),
            requantizer.sums.eq(dot.sums),
            outlet.push.eq(requantizer.push),
            outlet.payload.eq(requantizer.o),
        ]
        join(m, outlet.o, wiring.flipped(self.o), "output")
        return m

    def _window(self):
        plan, folding = self.plan, self.plan.folding
        layout = beat_layout(plan.layer.input.type, folding.lanes_in)
        if folding.window == "ring":
            return RingWindow(layout, plan.raster, ("words", "kx", "ky"), plan.groups, plan.capacity)
        return SlidingWindow(layout, plan.raster, folding.portion, plan.groups, plan.layer.input_zero)

    def _padded(self, window):
        """Ring data with padding put in; a sliding window has it already."""
        if self.plan.folding.window != "ring" or not any(self.plan.layer.window.pads):
            return window.data
        layer, lanes = self.plan.layer, self.plan.folding.lanes_in
        pad = Const(pack([layer.input_zero] * lanes, layer.input.type.width), lanes * layer.input.type.width)
        return Mux(window.outside, pad, window.data.as_value())
