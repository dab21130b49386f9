"""What a loop does with a frame: where maps lie, which weights come when, and how many cycles each of them is held.

In a *hold* a word of weights, ``portion`` for each of ``outputs`` channels, stays for the positions of a strip. They
come in this order: sets of outputs, strips of positions, taps of the window, words of a pixel. The sums of a set and a
strip are done with their last hold, and are requantised while the next one begins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import gcd

import numpy as np

from hwgen.blocks.array.multiplier import Multiplier
from hwgen.blocks.array.tree import dot_latency
from hwgen.blocks.loop.looped import Looped, LoopedConv, LoopedLayers, LoopedPool
from hwgen.blocks.requantize.lane_form import LaneForm
from hwgen.blocks.requantize.requantizer import RequantizerPlan, constant_words, lane_form
from hwgen.graph.exact.requantize import Requantization
from hwgen.graph.types import FeatureMap, IntType
from hwgen.hdl.contents import Contents
from hwgen.memory.dram.contract import Contract
from hwgen.memory.dram.replay import ReplayPlan, Section

#: Cycles that a hold takes at least, so that a sum is in memory when the next hold reads it.
LEAST = 4
#: Sets whose constants are inside at the most: of sums that are requantised, that are being made, that come next, and
#: of the weights behind those.
SLOTS = 4


@dataclass(frozen=True)
class LoopFolding:
    """How a loop is laid out: ``portion`` channels of a pixel by ``outputs`` in a cycle, ``products`` a multiplier,
    ``lanes`` results requantised in a cycle, sums of ``positions`` pixels at a time. Weights come over ``bus`` bytes
    from a memory that keeps a contract of ``latency`` cycles and ``rate`` bytes a cycle (a fraction, as text), with
    ``places`` for beats; ``kept`` are places for those of a set that several strips take, which are
    read once then (0: read for each strip)."""

    portion: int
    outputs: int
    lanes: int
    positions: int
    bus: int
    products: int = 2
    lanes_in: int = 1
    lanes_out: int = 1
    latency: int = 64
    rate: str = "8"
    places: int = 256
    kept: int = 0

    @property
    def contract(self) -> Contract:
        """What the memory promises."""
        return Contract(self.latency, Fraction(self.rate))

    @property
    def promises(self) -> bool:
        """Whether ``rate`` is one."""
        try:
            return Fraction(self.rate) > 0
        except (ValueError, ZeroDivisionError):
            return False

    def __str__(self) -> str:
        return f"{self.portion} x {self.outputs} products held for {self.positions} pixels, {self.lanes} lanes"


@dataclass(frozen=True)
class Timing:
    """Cycles between registers of a loop."""

    dot: int
    lane: int

    #: From a hold being begun to its first activation at the multipliers: address, memory, padding.
    FETCH = 3
    #: From the last maximum being begun until the next layer may begin.
    POOLED = 8

    @property
    def drain(self) -> int:
        """From the beginning of the last hold of a set to the first sum being read again."""
        return self.FETCH + self.dot + 2

    @property
    def tail(self) -> int:
        """From there until its result can be read in the frame buffer, but for the reads themselves."""
        return self.drain + 3 + self.lane + 2


class Geometry:
    """A layer's loops: its maps are in words of ``portion`` channels, ``base`` and ``target`` are where they begin."""

    def __init__(self, conv: Looped, folding: LoopFolding, base: int, target: int, timing: Timing):
        self.conv, self.folding, self.base, self.target = conv, folding, base, target
        self.words = words(conv.input, folding.portion)
        self.words_out = words(conv.output, folding.portion)
        #: Whether it is a maximum, which takes the words of a pixel one after the other, and no weights.
        self.pooled = isinstance(conv, LoopedPool)
        self.groups = 1 if self.pooled else self.words
        self.sets = self.words if self.pooled else -(-conv.output.channels // folding.outputs)
        self.strips = -(-conv.positions // folding.positions)
        self.full = -(-conv.positions // self.strips)
        self.last = conv.positions - (self.strips - 1) * self.full
        self.steps = conv.window.taps * self.groups
        self.rounds = 1 if self.pooled else folding.outputs // folding.lanes
        self.tail = self.last + timing.POOLED if self.pooled else self.last * self.rounds + timing.tail

    def held(self, count: int, ends: bool) -> int:
        """Cycles of a hold over ``count`` positions. What ``ends`` the sums of a strip leaves time for them to be read;
        where it begins them, too, the next strip's place is known a cycle later."""
        if not ends:
            return max(count, LEAST)
        later = (self.steps - 1) * max(min(self.full, self.last), LEAST)
        alone = self.steps == 1 and self.strips > 1
        return max(count + alone, LEAST, count * self.rounds - later)

    @cached_property
    def holds(self) -> np.ndarray:
        """Cycles of each hold, int64 [sets * strips * steps]."""
        counts = [self.full] * (self.strips - 1) + [self.last]
        strip = np.array([[self.held(n, False)] * (self.steps - 1) + [self.held(n, True)] for n in counts], np.int64)
        cycles = np.tile(strip.ravel(), self.sets)
        cycles[-1] = self.tail
        return cycles

    @property
    def form(self) -> Requantization | None:
        """What its sums go through; None of a maximum."""
        return self.conv.requantization if isinstance(self.conv, LoopedConv) else None

    @cached_property
    def weights(self) -> np.ndarray:
        """Weights in the order in which they are used, int64 [sets, steps, outputs, portion]; 0 where there are
        none. ValueError of a maximum."""
        conv, folding = self.conv, self.folding
        if not isinstance(conv, LoopedConv):
            raise ValueError("a maximum has no weights")
        channels, height, width, inputs = conv.weights.shape
        padded = np.zeros((self.sets * folding.outputs, height * width, self.words * folding.portion), np.int64)
        padded[:channels, :, :inputs] = conv.weights.reshape(channels, -1, inputs)
        shape = self.sets, folding.outputs, height * width, self.words, folding.portion
        return padded.reshape(shape).transpose(0, 2, 3, 1, 4).reshape(self.sets, self.steps, *shape[1:2], shape[4])


def words(map_: FeatureMap, portion: int) -> int:
    """Words of a pixel."""
    return -(-map_.channels // portion)


def allocated(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Where maps lie that live while they are made and while they are read by the next, and the words of all: every
    second one at the beginning, the others at the end, so that there are no more than the two largest neighbours."""
    depth = max(one + other for one, other in zip(sizes, [*sizes[1:], 0], strict=True))
    return [depth - size if n % 2 else 0 for n, size in enumerate(sizes)], depth


@dataclass(frozen=True, eq=False)
class Programme:
    """``op`` laid out by ``folding``."""

    op: LoopedLayers
    folding: LoopFolding

    @cached_property
    def x(self) -> IntType:
        """What the multipliers take."""
        return IntType(self.op.bits, True)

    @cached_property
    def multiplier(self) -> Multiplier:
        """How activations and weights are multiplied."""
        return Multiplier(self.x, self.op.weight, self.folding.products)

    @cached_property
    def dot(self) -> IntType:
        """Holds the products of a cycle added up."""
        product = self.multiplier.product
        return IntType.holding(product.min * self.folding.portion, product.max * self.folding.portion)

    @cached_property
    def requantizer(self) -> RequantizerPlan:
        """How lanes multiply."""
        return RequantizerPlan.of(self.op.requantization, self.folding.outputs, self.folding.lanes)

    @cached_property
    def lane(self) -> LaneForm:
        """The lanes of the requantiser."""
        return lane_form(self.op.requantization, self.requantizer, self.op.sums, self.op.stored)

    @cached_property
    def timing(self) -> Timing:
        """Cycles between registers."""
        by = self.requantizer.by
        return Timing(dot_latency(self.multiplier, self.folding.portion, 0), by.latency + 1 + by.rounding)

    @cached_property
    def maps(self) -> tuple[FeatureMap, ...]:
        """What is in the frame buffer: the input and what each layer gives."""
        return (self.op.input, *(layer.output for layer in self.op.looped))

    @cached_property
    def _places(self) -> tuple[list[int], int]:
        portion = self.folding.portion
        return allocated([map_.height * map_.width * words(map_, portion) for map_ in self.maps])

    @property
    def starts(self) -> list[int]:
        """Where each map begins."""
        return self._places[0]

    @property
    def depth(self) -> int:
        """Words of the frame buffer."""
        return self._places[1]

    @cached_property
    def layers(self) -> tuple[Geometry, ...]:
        """The layers' loops."""
        ends = zip(self.op.looped, self.starts, self.starts[1:], strict=False)
        return tuple(Geometry(conv, self.folding, base, target, self.timing) for conv, base, target in ends)

    @property
    def pools(self) -> bool:
        """Whether there is any maximum."""
        return any(layer.pooled for layer in self.layers)

    @cached_property
    def weighted(self) -> tuple[Geometry, ...]:
        """Those of the layers that have weights."""
        return tuple(layer for layer in self.layers if not layer.pooled)

    @cached_property
    def takes(self) -> np.ndarray:
        """Whether each hold of a frame has a word of weights, bool [holds]."""
        return np.concatenate([np.full(len(layer.holds), not layer.pooled) for layer in self.layers])

    @cached_property
    def holds(self) -> np.ndarray:
        """Cycles of each hold of a frame, int64 [holds]."""
        return np.concatenate([layer.holds for layer in self.layers])

    @property
    def grain(self) -> int:
        """Channels that are written at once into the frame buffer, or several times as many."""
        whole = self.folding.lanes_in == self.op.input.channels
        return self.folding.lanes if whole else gcd(self.folding.lanes, self.folding.lanes_in)

    @property
    def word_beats(self) -> int:
        """Beats of a word of weights."""
        bits = self.folding.portion * self.folding.outputs * self.op.weight.width
        return -(-bits // (8 * self.folding.bus))

    @property
    def constant_bits(self) -> int:
        """Bits of the constants of all lanes."""
        return self.folding.lanes * sum(self.lane.constant_bits)

    @property
    def constant_beats(self) -> int:
        """Beats of these."""
        return -(-self.constant_bits // (8 * self.folding.bus))

    @cached_property
    def beats(self) -> np.ndarray:
        """Beats that have come when each hold with weights of a frame begins, int64 [holds with weights]."""
        own = [
            np.tile(np.r_[layer.rounds * self.constant_beats, np.zeros(layer.strips * layer.steps - 1, np.int64)],
                    layer.sets) + self.word_beats
            for layer in self.weighted
        ]  # fmt: skip
        return np.cumsum(np.concatenate(own))

    @cached_property
    def replay(self) -> ReplayPlan | None:
        """What gives the weights of a set for each strip, where that keeps them."""
        if not self.folding.kept:
            return None
        sections = tuple(
            Section(layer.sets, layer.rounds * self.constant_beats, layer.steps * self.word_beats, layer.strips)
            for layer in self.weighted
        )
        return ReplayPlan(sections, self.folding.bus, self.folding.kept)

    @property
    def read(self) -> int:
        """Bytes that are read of memory for each frame."""
        beats = sum(each.read for each in self.replay.sections) if self.replay else int(self.beats[-1])
        return beats * self.folding.bus

    @cached_property
    def image(self) -> bytes:
        """What is read of memory for each frame: for each set the constants of its channels, then its weights, for
        each strip unless they are kept."""
        return b"".join(self._of_set(layer, n) for layer in self.weighted for n in range(layer.sets))

    def _of_set(self, layer: Geometry, n: int) -> bytes:
        constants = self._rows(self._constants(layer, n), self.constant_beats)
        weights = layer.weights[n].reshape(layer.steps, -1)
        words_ = self._rows(Contents.packed(weights, self.op.weight.width), self.word_beats)
        return constants + words_ * (1 if self.replay else layer.strips)

    def _rows(self, contents: Contents, beats: int) -> bytes:
        rows = contents.rows
        padded = np.zeros((len(rows), beats * self.folding.bus), np.uint8)
        padded[:, : rows.shape[1]] = rows
        return padded.tobytes()

    def _constants(self, layer: Geometry, n: int) -> Contents:
        form, first = layer.form, n * self.folding.outputs
        if form is None:
            raise ValueError("a maximum has no constants")
        channels = np.minimum(np.arange(first, first + self.folding.outputs), form.channels - 1)
        return Contents.of(constant_words(form.select(channels), self.folding.lanes), self.constant_bits)
