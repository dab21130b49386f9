"""A multiply-accumulate layer laid out in hardware: the plan that block, timing and cost share.

Window buffer -> weights -> dot products -> requantiser -> queue. The window is read once for each set of output
channels; neither the portions of the window nor the sets need divide what they cut up. In a grouped or depthwise
layer, one or more whole groups are worked on at a time.
"""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from hwgen.cost.actor import Actor, Give
from hwgen.cost.logic import Logic, adder_register, adder_tree, counter, delayed
from hwgen.cost.needs import MemoryNeed, Products
from hwgen.graph.exact.requantize import Requantization
from hwgen.graph.types import IntType
from hwgen.memory.queue import Outlet, queue_depth, queue_logic
from hwgen.memory.ram import ram_need
from hwgen.memory.store import images
from hwgen.memory.weights import ROM, STORE, WEIGHT_SOURCES, WeightSource
from hwgen.memory.window import WINDOW_CREDIT, WindowBuffer, WindowCut
from hwgen.memory.window_kinds import WINDOWS

from .arithmetic import dot_latency
from .mac_layer import MacLayer
from .multiplier import SINGLE, Multiplier
from .packer import Packer, Packing
from .requantizer import RequantizerPlan
from .staircase import Staircase
from .step_search import StepSearchPlan, requantizer_plan


@dataclass(frozen=True)
class MacFolding:
    """How a layer is laid out in hardware.

    ``window``: ``"ring"`` (one word a cycle from RAM, so ``parallel * portion`` equals ``lanes_in``), ``"columns"``
    (a column of words a cycle, from RAM behind line memories: kernel rows times as many) or ``"sliding"`` (registers;
    any ``portion``). ``parallel``: groups of channels worked on at a time. Of each, ``portion`` elements
    of the window are taken in a cycle, for ``outputs`` output channels at a time. ``lanes_in``, ``lanes_out``:
    elements in a beat. ``serial``: see :class:`RequantizerPlan`; ``in_luts``: it multiplies in LUTs, as slowly as the
    sums allow. ``products``: how many a hardware multiplier makes at once, 1 or 2, or 0 where they are made of LUTs.
    ``tap``: places of the queue by which the layer hands its input on to the other reader of the map, 0 where it does
    not (see :mod:`hwgen.blocks.tapped`). ``weights``: where they are, one of
    :data:`hwgen.memory.weights.WEIGHT_SOURCES`.
    """

    window: str
    portion: int
    outputs: int
    lanes_in: int
    lanes_out: int
    serial: bool = False
    parallel: int = 1
    in_luts: bool = False
    products: int = SINGLE
    tap: int = 0
    weights: str = ROM

    def __str__(self) -> str:
        groups = f"{self.parallel} of " if self.parallel > 1 else ""
        return f"{groups}{self.portion}x{self.outputs} {self.window}"

    def holding(self, loaded: bool) -> "MacFolding":
        """The same with weights where constants that are ``loaded``, or fixed, can be; large RAM holds both."""
        fitting = STORE if loaded else ROM
        return replace(self, weights=fitting) if self.weights in {ROM, STORE} - {fitting} else self


@dataclass(frozen=True, eq=False)
class MacPlan:
    """A layer with its folding: every number that hardware, timing and cost share."""

    layer: MacLayer
    folding: MacFolding

    @cached_property
    def window(self) -> WindowBuffer:
        """The window buffer."""
        layer, folding = self.layer, self.folding
        cut = WindowCut(self.packs, folding.parallel, folding.portion, self.passes)
        return WINDOWS[folding.window](layer.input, layer.window, folding.lanes_in, cut, layer.input_zero)

    @cached_property
    def packs(self) -> int:
        """Windows of a position: ``parallel`` groups of channels have one together."""
        return self.layer.group // self.folding.parallel

    @cached_property
    def portions(self) -> int:
        """Steps of one window position, ``portion`` elements each."""
        return -(-self.layer.elements // self.folding.portion)

    @cached_property
    def passes(self) -> int:
        """How often a window is read: once for each set of output channels."""
        return -(-self.layer.group_outputs // self.folding.outputs)

    @property
    def multipliers(self) -> int:
        """Products in each cycle."""
        return self.folding.parallel * self.folding.portion * self.folding.outputs

    @cached_property
    def multiplier(self) -> Multiplier:
        """How elements and weights are multiplied."""
        return Multiplier(self.layer.input.type, self.layer.weight_type, self.folding.products)

    @cached_property
    def requantizer(self) -> RequantizerPlan | StepSearchPlan:
        """How sums become results."""
        return unit_requantizer(self.layer, self.folding)

    @property
    def weight_depth(self) -> int:
        """Words of the weight memory."""
        return self.packs * self.passes * self.portions

    @cached_property
    def weights(self) -> WeightSource:
        """The weight memory. What loads it does not load the requantiser's constants unless the layer's ``loading``
        says so."""
        source = WEIGHT_SOURCES[self.folding.weights]
        return source(self.weight_depth, self.multipliers, self.layer.weight_type.width, self._weight_matrix)

    def image(self) -> bytes:
        """What loads the weights and the requantiser's constants, in the order in which they take it."""
        layer, weights = self.layer, self.weights.image
        if not layer.loading:
            return weights
        return weights + images(*self.requantizer.contents(layer.requantization, layer.output.type))

    def _weight_matrix(self) -> np.ndarray:
        """Weights int64 [words, weights in a word]: a word for each pack, pass and portion; in it group, output
        channel, element."""
        layer, folding = self.layer, self.folding
        weights = self.window.issued(layer.weights)
        weights = weights.reshape(self.packs, folding.parallel, layer.group_outputs, layer.elements)
        outputs, elements = self.passes * folding.outputs, self.portions * folding.portion
        padded = np.zeros((self.packs, folding.parallel, outputs, elements), np.int64)
        padded[:, :, : layer.group_outputs, : layer.elements] = weights
        shape = (self.packs, folding.parallel, self.passes, folding.outputs, self.portions, folding.portion)
        return padded.reshape(shape).transpose(0, 2, 4, 1, 3, 5).reshape(self.weight_depth, -1)

    @property
    def packing(self) -> Packing:
        """How the channels of results lie in beats."""
        return self.requantizer.packing

    @property
    def beats(self) -> tuple[int, ...]:
        """Output beats of each pass over a window."""
        return self.packing.dense

    @cached_property
    def latency(self) -> int:
        """From the end of a step to its first beat being offered."""
        dot = dot_latency(self.multiplier, self.folding.portion, self.weights.latency)
        packer = Packer.LATENCY if self.packing.partial else 0
        return self.window.latency + dot + self.requantizer.latency + packer + Outlet.LATENCY - 1

    @cached_property
    def queue(self) -> int:
        """Places of the queue at the end, for what is on its way when its reader stops."""
        return queue_depth(self.latency, self.portions, max(self.beats))

    def actors(self) -> tuple[Actor, ...]:
        """Timing of the unit: those of the window buffer, and one that works."""
        give = np.cumsum(np.tile(self.beats, self.window.windows))
        reserve = np.append(0, give[:-1]) + max(self.beats)
        gives = (Give(give, self.latency, self.queue, reserve, WINDOW_CREDIT, self.requantizer.spacing),)
        return (*self.window.front, Actor("mac", np.full(len(give), self.portions), (self.window.take,), gives))

    @property
    def products(self) -> tuple[Products, ...]:
        """Multipliers of the dot products and of the requantiser, by operand widths."""
        folding = self.folding
        mac = self.multiplier.hardware(folding.outputs, folding.parallel * folding.portion)
        return (*mac, *self.requantizer.products(self.layer.requantization))

    @property
    def memories(self) -> tuple[MemoryNeed, ...]:
        """Weights, window buffer, constants, queue."""
        return (
            *self.weights.memories,
            *self.window.memories,
            *self._requantizing[0],
            ram_need("queue", self.layer.output.type.width * self.folding.lanes_out, self.queue),
        )

    @cached_property
    def _requantizing(self) -> tuple[tuple[MemoryNeed, ...], Logic]:
        """Memories and logic of the requantiser."""
        layer = self.layer
        return _requantizer_cost(self.requantizer, layer.requantization, layer.sum_type, layer.output.type)

    @property
    def logic(self) -> Logic:
        """What is not a memory or a multiplier."""
        layer = self.layer
        return (
            self.window.logic
            + self._dot_logic()
            + counter(self.weight_depth)
            + self.weights.logic
            + self._requantizing[1]
            + self.packing.logic(layer.output.type.width)
            + queue_logic(self.queue, layer.output.type.width * self.folding.lanes_out)
        )

    def _dot_logic(self) -> Logic:
        """Delayed operands, products, trees, accumulators."""
        layer, folding, sums = self.layer, self.folding, self.layer.sum_type.width
        lane = adder_tree(self.multiplier.product.width, folding.portion) + adder_register(sums) + Logic(gated=sums)
        x = folding.parallel * folding.portion * layer.input.type.width
        weights = self.weights.latency
        flags = Logic(register=3 * (dot_latency(self.multiplier, folding.portion, weights) - 1) + 1, logic=1)
        elements = folding.parallel * folding.portion * -(-folding.outputs // self.multiplier.lanes)
        lanes = folding.parallel * folding.outputs
        delays = delayed(x, weights + self.multiplier.x_registers)
        return elements * self.multiplier.logic + lanes * lane + delays + flags


@lru_cache(1024)  # many foldings of a layer have the same requantiser
def _requantizer_cost(
    plan: RequantizerPlan | StepSearchPlan, requantization: Requantization | Staircase, sum_: IntType, out: IntType
) -> tuple[tuple[MemoryNeed, ...], Logic]:
    return plan.memories(requantization), plan.logic(requantization, sum_, out)


def unit_requantizer(layer: MacLayer, folding: MacFolding) -> RequantizerPlan | StepSearchPlan:
    """The requantiser behind ``folding``: it starts anew with every window's channels."""
    results, period = folding.parallel * folding.outputs, folding.parallel * layer.group_outputs
    lut_cycles = -(-layer.elements // folding.portion) if folding.in_luts else 0
    return requantizer_plan(layer.requantization, results, folding.lanes_out, folding.serial, period, lut_cycles)
