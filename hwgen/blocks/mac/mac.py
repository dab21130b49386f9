"""The multiply-accumulate unit: operators that are computed on it, and its hardware, timing and cost.

Window buffer -> weights -> dot products -> requantiser -> queue. The window is read once for each set of output
channels; neither the portions of the window nor the sets need divide what they cut up. In a grouped or depthwise
layer, one or more whole groups are worked on at a time.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import pairwise, product

import numpy as np
from amaranth.hdl import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.array.array import ArrayShape, DotArray
from hwgen.blocks.array.arrays import ARRAYS, CONSTANT, PLAIN, TREE
from hwgen.blocks.array.cascade import cascade_problems
from hwgen.blocks.array.multiplier import IN_LUTS, PAIR, SINGLE, Multiplier
from hwgen.blocks.array.pixel_pairs import pixel_pair_problems
from hwgen.blocks.array.slices import SLICES, SliceKind
from hwgen.blocks.mac.mac_folding import (
    MacFolding,
    MacTable,
    mac_foldings,
    mac_interval,
    mac_limits,
    mac_problems,
    mac_table,
    pixel_problems,
    unit_requantizer,
)
from hwgen.blocks.mac.mac_layer import MacLayer, MacShape
from hwgen.blocks.mac.packer import Packer, Packing, left_over
from hwgen.blocks.operator import Moved, Offers, Operator, OperatorUnit
from hwgen.blocks.requantize.requantizer import ResultPlan, block_product
from hwgen.blocks.requantize.staircase import Staircase
from hwgen.blocks.stream import beat_stream, join
from hwgen.cost.actor import Actor, Give
from hwgen.cost.logic import Logic, adder
from hwgen.cost.needs import ULTRA, Cost, MemoryNeed, Products
from hwgen.graph.exact.requantize import Requantization
from hwgen.graph.types import IntType
from hwgen.memory.queue import Outlet, behind, queue_depth, queue_logic
from hwgen.memory.ram import ram_need
from hwgen.memory.rom import LAST_LOGIC_DEPTH, LOGIC_DEPTH, MOST_LOGIC_DEPTH
from hwgen.memory.store import LOAD_PORTS, images, pass_on
from hwgen.memory.weights import LARGE, LUTS
from hwgen.memory.window import WINDOW_CREDIT, WindowBuffer, WindowCut
from hwgen.memory.window_kinds import WINDOWS


class MacOperator(Operator):
    """An operator that says with :attr:`layer` what the unit computes; the rest follows."""

    @property
    @abstractmethod
    def _layer(self) -> MacLayer:
        """What the unit computes, whether there is hardware or not."""

    @property
    def layer(self) -> MacLayer:
        """What the unit computes. ModelError where there is a :attr:`gap`."""
        if self.gap:
            raise self.golden_only()
        return self._layer

    @cached_property
    def shape(self) -> MacShape:
        """What layers have in common that take the same foldings and cycles."""
        return self.layer.shape

    def units(self) -> Iterable["MacUnit"]:
        return (self._laid_out(folding) for folding in mac_foldings(self.shape))

    def _laid_out(self, folding: MacFolding) -> "MacUnit":
        return MacUnit(self, folding)

    def offers(self) -> tuple[Offers, ...]:
        """As cascades of DSP blocks; as trees, one product in a multiplier, or two, or made of LUTs, all with weights
        elsewhere, too; as adders that stand for fixed weights."""
        table, (single, digit) = mac_table(self.shape), self.layer.product_kinds
        (pair,) = Multiplier(self.layer.input.type, self.layer.weight_type, PAIR).hardware(PAIR, 1)
        kinds, both = (single, pair, digit), ((SINGLE, table.single), (PAIR, table.pair))
        trees = [Offers(figures, kinds, partial(self._made, table, at_once, TREE)) for at_once, figures in both]
        usual = [*self._cascades(table, kinds), *trees, self._in_luts(table, kinds)]
        deep, (luts, last) = table.deeper(LOGIC_DEPTH), self._for_luts(table)
        moved = *_moved(LUTS, usual, luts), *_moved(LARGE, trees, deep), *_moved(ULTRA, usual, deep)
        return (*usual, *self._constant(table, kinds), *moved, *_moved(LUTS, usual, last, last=True))

    def _for_luts(self, table: MacTable) -> Iterator[np.ndarray]:
        """Numbers of the offers whose weights could also be in LUTs, and of those where that is the last resort."""
        for words, most in pairwise((LOGIC_DEPTH, MOST_LOGIC_DEPTH, LAST_LOGIC_DEPTH)):
            deep = table.deeper(words)
            yield deep[:0] if self.loading else np.setdiff1d(deep, table.deeper(most))

    def _cascades(self, table: MacTable, kinds: tuple[Products, ...]) -> Iterator[Offers]:
        layer = self.layer
        cells = tuple(replace(kind, cell=True) for kind in kinds[:2])
        for at_once, block in product((PAIR, SINGLE), SLICES.values()):
            if not self._unfit(block, at_once):
                scaling = layer.blocks(block.name)
                digit = kinds[2] if scaling is None else block_product(block.name)
                make = partial(self._made, table, at_once, block.name, blocks=scaling)
                yield Offers(table.cascaded(at_once, scaling), (*cells, digit), make, slices=block.name)

    def _unfit(self, block: SliceKind, at_once: int) -> list[str]:
        """Why cascades of a block are not offered; of layers with an output for a group pairs are of windows."""
        layer = self.layer
        if at_once == PAIR and layer.group_outputs == 1:
            return pixel_pair_problems(block, layer.input.type, layer.weight_type)
        return cascade_problems(block, layer.input.type, layer.weight_type, layer.weight_range, at_once)

    def _in_luts(self, table: MacTable, kinds: tuple[Products, ...]) -> Offers:
        logic = Multiplier(self.layer.input.type, self.layer.weight_type, IN_LUTS).logic
        kinds = (replace(kinds[0], luts=True), *kinds[1:])
        return Offers(table.single, kinds, partial(self._made, table, IN_LUTS, TREE), in_luts=logic)

    def _constant(self, table: MacTable, kinds: tuple[Products, ...]) -> Iterator[Offers]:
        if self.loading is None and len(table.whole):
            kinds = (replace(kinds[0], luts=True), *kinds[1:])
            least = adder(self.layer.input.type.width)  # of a product: that which adds it to others
            yield Offers(table.constant, kinds, partial(self._made_constant, table), in_luts=least)

    def _made_constant(self, table: MacTable, at: int) -> "MacUnit":
        return self._made(table, IN_LUTS, CONSTANT, int(table.whole[at]))

    def _made(self, table: MacTable, at_once: int, array: str, at: int, blocks: int | None = None) -> "MacUnit":
        return self._laid_out(table.folding(at, at_once, array, blocks))


def _moved(place: str, groups: Iterable[Offers], numbers: np.ndarray, last: bool = False) -> Iterator[Offers]:
    """Offers with these numbers of each group with their weights in ``place``."""
    for group in groups if len(numbers) else ():
        make = partial(_made_there, group, numbers, place)
        yield replace(group, table=group.table.some(numbers), make=make, moved=Moved(place, group, numbers, last))


def _made_there(group: Offers, numbers: np.ndarray, place: str, at: int) -> OperatorUnit:
    unit = group.make(int(numbers[at]))
    return replace(unit, folding=replace(unit.folding, weights=place))


@dataclass(frozen=True)
class MacUnit(OperatorUnit):
    """Hardware for a :class:`MacOperator`."""

    op: MacOperator
    folding: MacFolding

    folds = MacFolding
    settings_in = "multiplying"

    def __post_init__(self):
        object.__setattr__(self, "folding", self.folding.holding(self.op.loading is not None))

    @cached_property
    def layer(self) -> MacLayer:
        """What it computes, with pixels abreast where its folding says so."""
        return self.op.layer.wide(self.folding.pixels)

    @property
    def loads(self) -> bool:
        return self.array.source.loads

    @property
    def large(self) -> str | None:
        return self.array.source.large

    @cached_property
    def cost(self) -> Cost:
        return self.costing(self.logic, self.memories, self.products)

    @property
    def slices(self) -> str | None:
        return None if self.folding.array in PLAIN else self.folding.array

    @property
    def stores(self) -> int:
        return super().stores + len(self.array.sources) - 1

    @property
    def interval(self) -> int:
        return mac_interval(self.layer.shape, self.folding)

    def problems(self) -> list[str]:
        wrong = pixel_problems(self.op.shape, self.folding) or mac_problems(self.layer, self.folding)
        return wrong or [*self.array.problems, *mac_limits(self.layer, self.folding)]

    def block(self) -> wiring.Component:
        return MacBlock(self)

    @cached_property
    def window(self) -> WindowBuffer:
        """The window buffer."""
        layer, folding = self.layer, self.folding
        cut = WindowCut(self.packs, folding.parallel, folding.portion, self.passes, layer.abreast)
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
    def requantizer(self) -> ResultPlan:
        """How sums become results."""
        return unit_requantizer(self.layer, self.folding)

    @property
    def weight_depth(self) -> int:
        """Words of the weight memory."""
        return self.packs * self.passes * self.portions

    @cached_property
    def array(self) -> DotArray:
        """The multipliers with their weights. What loads these does not load the requantiser's constants unless the
        layer's ``loading`` says so."""
        layer, folding = self.layer, self.folding
        shape = ArrayShape(
            layer.input.type,
            layer.weight_type,
            *layer.weight_range,
            layer.sum_type,
            folding.parallel,
            folding.outputs,
            folding.portion,
            self.portions,
            self.weight_depth,
            layer.copies,
        )
        return ARRAYS[folding.array](
            shape, folding.weights, folding.products, partial(_weight_matrix, self), self._spread
        )

    def _spread(self, chains: int) -> tuple[int, int]:
        """Between what sums of products of a part of a portion lie; see :class:`DotArray`."""
        known, folding = self.layer.spreads, self.folding
        order = folding.window, folding.lanes_in // folding.parallel
        key = (*order, folding.portion, chains)
        if key not in known:
            known[key] = self.layer.spread(self.portions_of(self.window.issued(self.layer.weights)), chains)
        return known[key]

    def portions_of(self, weights: np.ndarray) -> np.ndarray:
        """``weights`` [OC, ...] in portions, [OC, portions, portion]; what is missing in the last is 0."""
        padded = np.zeros((len(weights), self.portions * self.folding.portion), np.int64)
        padded[:, : self.layer.elements] = weights.reshape(len(weights), -1)
        return padded.reshape(len(weights), self.portions, -1)

    @property
    def image(self) -> bytes:
        """What loads the weights and the requantiser's constants, in the order in which they take it."""
        layer, weights = self.layer, self.array.image
        if not layer.loading:
            return weights
        return weights + images(*self.requantizer.contents(layer.requantization, layer.output.type))

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
        packer = Packer.LATENCY if self.packing.partial else 0
        return self.window.latency + self.array.latency + self.requantizer.latency + packer + Outlet.LATENCY - 1

    @cached_property
    def queue(self) -> int:
        """Places of the queue at the end, for what is on its way when its reader stops."""
        return queue_depth(self.latency, self.portions, max(self.beats))

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        """Timing of the unit: those of the window buffer, and one that works."""
        give = np.cumsum(np.tile(self.beats, self.window.windows))
        reserve = np.append(0, give[:-1]) + max(self.beats)
        latency = self.latency + behind(self.queue)
        gives = (Give(give, latency, self.queue, reserve, WINDOW_CREDIT, self.requantizer.spacing),)
        return (*self.window.front, Actor("mac", np.full(len(give), self.portions), (self.window.take,), gives))

    @property
    def products(self) -> tuple[Products, ...]:
        """Multipliers of the dot products and of the requantiser, by operand widths."""
        return (*self.array.hardware, *self.requantizer.products(self.layer.requantization))

    @property
    def memories(self) -> tuple[MemoryNeed, ...]:
        """Weights, window buffer, constants, queue."""
        return (
            *self.array.memories,
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
            + self.array.logic
            + self._requantizing[1]
            + self.packing.logic(layer.output.type.width)
            + queue_logic(self.queue, layer.output.type.width * self.folding.lanes_out)
        )


@lru_cache(1)  # the memories of a unit, of which each has a part, ask for it one after the other
def _weight_matrix(unit: MacUnit) -> np.ndarray:
    """Weights int64 [words, groups, output channels, elements]: a word for each pack, pass and portion."""
    layer, folding = unit.layer, unit.folding
    outputs, groups = unit.passes * folding.outputs, folding.parallel // layer.copies
    weights = unit.portions_of(unit.window.issued(layer.weights))
    padded = np.zeros((unit.packs, groups, outputs, *weights.shape[1:]), np.int64)
    padded[:, :, : layer.group_outputs] = weights.reshape(unit.packs, groups, -1, *weights.shape[1:])
    shape = (unit.packs, groups, unit.passes, folding.outputs, unit.portions, folding.portion)
    parts = padded.reshape(shape).transpose(0, 2, 4, 1, 3, 5)
    return parts.reshape(unit.weight_depth, groups, folding.outputs, folding.portion)


@lru_cache(1024)  # many foldings of a layer have the same requantiser
def _requantizer_cost(
    plan: ResultPlan, requantization: Requantization | Staircase, sum_: IntType, out: IntType
) -> tuple[tuple[MemoryNeed, ...], Logic]:
    return plan.memories(requantization), plan.logic(requantization, sum_, out)


class MacBlock(wiring.Component):
    """The hardware of a :class:`MacUnit`."""

    def __init__(self, unit: MacUnit):
        self.unit = unit
        super().__init__(self.ports())

    def ports(self) -> dict:
        """The streams, and what loads the weights."""
        layer, folding = self.unit.layer, self.unit.folding
        streams = {
            "i": In(beat_stream(layer.input.type, folding.lanes_in)),
            "o": Out(beat_stream(layer.output.type, folding.lanes_out)),
        }
        return streams | (LOAD_PORTS if self.unit.loads else {})

    def permit(self, m: Module, window, outlet: Outlet):
        """Whether there is room for what a step gives."""
        return outlet.permit

    def elaborate(self, platform):
        m = Module()
        unit, layer = self.unit, self.unit.layer
        window = self._window(m)
        m.submodules.array = array = unit.array.component()
        m.submodules.requantizer = requantizer = unit.requantizer.component(
            layer.requantization, layer.sum_type, layer.output.type
        )
        if unit.loads:
            pass_on(m, self, array, *([requantizer] if layer.loading else []))
        m.submodules.outlet = outlet = Outlet(self.o.payload.shape(), unit.queue, max(unit.beats))
        self._announce(m, window, outlet)
        m.d.comb += [
            window.permit.eq(self.permit(m, window, outlet)),
            outlet.debit.eq(window.go),
            array.strobe.eq(window.strobe),
            array.first.eq(window.first),
            array.last.eq(window.last),
            array.x.eq(unit.window.elements(window)),
            requantizer.soon.eq(array.soon),
            requantizer.sums.eq(array.sums),
        ]
        self._pack(m, requantizer, outlet)
        join(m, outlet.o, wiring.flipped(self.o), "output")
        return m

    def _announce(self, m: Module, window: wiring.Component, outlet: Outlet) -> None:
        """Tell the outlet how many beats the step that starts will give, where that differs from pass to pass."""
        packing, beats = self.unit.packing, self.unit.beats
        few, many = packing.results // packing.lanes, max(beats)
        usual = many
        if packing.partial:
            _, completes = left_over(m, packing, window.go, window.go_final, "left_over")
            usual = Mux(completes, many, few)
        if len(beats) > 1:
            m.d.comb += outlet.amount.eq(Mux(window.go_final, beats[-1], usual))

    def _pack(self, m: Module, requantizer: wiring.Component, outlet: Outlet) -> None:
        """Push what the requantiser gives into the outlet, with idle lanes closed up."""
        source, payload = requantizer.push, requantizer.o
        if self.unit.packing.partial:
            m.submodules.packer = packer = Packer(self.o.payload.shape(), self.unit.packing)
            m.d.comb += [packer.take.eq(source), packer.i.eq(payload)]
            source, payload = packer.push, packer.o
        m.d.comb += [outlet.push.eq(source), outlet.payload.eq(payload)]

    def _window(self, m: Module) -> wiring.Component:
        """The window buffer, fed from the input."""
        source = wiring.flipped(self.i)
        parts = self.unit.window.parts(source.payload.shape())
        for name, part in parts:
            m.submodules[name] = part
            join(m, source, part.i, f"input of {name}")
            source = getattr(part, "o", None)
        return parts[-1][1]
