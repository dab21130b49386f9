"""Foldings of a multiply-accumulate layer: what they are, and which are worth considering."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import product

import numpy as np

from hwgen.blocks.array.arrays import ARRAYS, CONSTANT, PLAIN, TREE
from hwgen.blocks.array.multiplier import IN_LUTS, PAIR, SINGLE
from hwgen.blocks.mac.mac_layer import MacLayer, MacShape
from hwgen.blocks.operator import OfferTable
from hwgen.blocks.requantize.requantizer import ResultPlan
from hwgen.blocks.requantize.step_search import requantizer_plan
from hwgen.memory.columns import ColumnBuffer
from hwgen.memory.raster import SHARED
from hwgen.memory.rom import rom_style
from hwgen.memory.weights import LUTS, ROM, STORE, WEIGHT_SOURCES
from hwgen.memory.window_kinds import WINDOWS

#: Elements of a window up to which holding it in registers is offered: twice 8 flip-flops an element.
SLIDING_LIMIT = 1024
#: Pixels of a row in a beat that are offered where one is not fast enough.
PIXELS = (2, 4, 8)


@dataclass(frozen=True)
class MacFolding:
    """How a layer is laid out in hardware.

    ``window``: ``"ring"`` (one word a cycle from RAM, so ``parallel * portion`` equals ``lanes_in``), ``"columns"``
    (a column of words a cycle, from RAM behind line memories: kernel rows times as many), ``"patch"`` (a word of each
    tap a cycle, likewise) or ``"sliding"`` (registers; any ``portion``). ``parallel``: groups of channels worked on at
    a time. Of each, ``portion`` elements of the window are taken in a cycle, for ``outputs`` output channels at a time.
    ``lanes_in``, ``lanes_out``: elements in a beat. ``serial``: see :class:`RequantizerPlan`; ``in_luts``: it
    multiplies in LUTs, as slowly as the sums allow. ``products``: how many a hardware multiplier makes at once, 1 or 2,
    or 0 where they are made of LUTs.
    ``weights``: where they are, one of :data:`hwgen.memory.weights.WEIGHT_SOURCES`. ``array``: how products are added
    up, one of :data:`hwgen.blocks.array.arrays.ARRAYS`. ``pixels``: of a row in a beat, with all their channels; the
    windows that begin in a beat are worked on at once, and count as groups (:mod:`hwgen.memory.abreast`).
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
    weights: str = ROM
    array: str = TREE
    pixels: int = 1

    def __str__(self) -> str:
        groups = f"{self.parallel} of " if self.parallel > 1 else ""
        abreast = f", {self.pixels} pixels abreast" if self.pixels > 1 else ""
        return f"{groups}{self.portion}x{self.outputs} {self.window}{abreast}"

    def holding(self, loaded: bool) -> "MacFolding":
        """The same with weights where constants that are ``loaded``, or fixed, can be; large RAM holds both."""
        wrong, fitting = ((ROM, LUTS), STORE) if loaded else ((STORE,), ROM)
        return replace(self, weights=fitting) if self.weights in wrong else self


def unit_requantizer(layer: MacLayer, folding: MacFolding) -> ResultPlan:
    """The requantiser behind ``folding``: it starts anew with every window's channels. Beside cascades of blocks it
    multiplies in such ones, too."""
    results, period = folding.parallel * folding.outputs, folding.parallel * layer.group_outputs
    lut_cycles = -(-layer.elements // folding.portion) if folding.in_luts else 0
    blocks = "" if folding.array in PLAIN else folding.array
    return requantizer_plan(
        layer.requantization, results, folding.lanes_out, folding.serial, period, lut_cycles, blocks
    )


@lru_cache(SHARED)
def mac_foldings(layer: MacShape) -> tuple[MacFolding, ...]:
    """All kinds of window buffer, every number of portions, passes and groups at a time that makes a difference."""
    shapes = [shape for parallel in divisors(layer.group) for shape in _shapes(layer, parallel)]
    usual = [folding for shape in shapes for folding in _requantized(layer, shape)]
    return (*usual, *_wider(layer, min((mac_interval(layer, each) for each in usual), default=0)))


@dataclass(frozen=True, eq=False)
class MacTable:
    """:func:`mac_foldings` of a layer, and their figures: where a multiplier makes a ``single`` product, and where it
    makes a ``pair``, for two output channels that share an activation. Kinds of products: single ones, pairs, and
    those of the requantiser. ``depths`` int64: words of weights; ``whole`` are the numbers of those with one word,
    and ``constant`` their figures.

    All that is so of trees, whose requantiser takes the ``digits`` of ``shape``; for cascades see :meth:`cascaded`."""

    shape: MacShape
    foldings: tuple[MacFolding, ...]
    single: OfferTable
    pair: OfferTable
    depths: np.ndarray
    whole: np.ndarray
    constant: OfferTable

    def cascaded(self, at_once: int, blocks: int | None) -> OfferTable:
        """Figures where two windows share a block, too, and a lane of the requantiser takes so many ``blocks`` instead
        of a multiplier for each digit; None: these."""
        usual, by_pixels = (self.pair, self._by_pixels) if at_once == PAIR else (self.single, self._by_pixels[:0])
        blocks = self.shape.digits if blocks is None else blocks
        if blocks == self.shape.digits and not by_pixels.any():
            return usual
        if (at_once, blocks) not in self._cascaded:
            counts = usual.counts.copy()
            if at_once == PAIR:
                singles, pairs = counts[:2]
                pairs[by_pixels], singles[by_pixels] = singles[by_pixels] // PAIR, 0
            if blocks != self.shape.digits:
                counts[-1] = [_digits(blocks, self._in_blocks(folding, blocks)) for folding in self.foldings]
            self._cascaded[at_once, blocks] = OfferTable(usual.cycles, counts, usual.kinds)
        return self._cascaded[at_once, blocks]

    @cached_property
    def _cascaded(self) -> dict[tuple[int, int], OfferTable]:
        return {}

    @cached_property
    def _by_pixels(self) -> np.ndarray:
        """Which of them have windows side by side of which two can share a block: bool [foldings]."""
        numbers = {folding.pixels for folding in self.foldings}
        able = {pixels: shares_by_pixels(_with_pixels(self.shape, pixels)) for pixels in numbers}
        return np.array([able[folding.pixels] for folding in self.foldings], bool)

    def _in_blocks(self, folding: MacFolding, blocks: int) -> MacFolding:
        """``folding`` with as many lanes as keep up where each takes so many blocks."""
        found = None if folding.in_luts else _lanes(_with_pixels(self.shape, folding.pixels), folding, blocks)
        return replace(folding, lanes_out=found[0], serial=found[1]) if found else folding

    def folding(self, at: int, products: int, array: str = TREE, blocks: int | None = None) -> MacFolding:
        """One of them, with so many products to a multiplier, two only where outputs share an activation."""
        folding = self.foldings[at]
        if blocks not in (None, self.shape.digits):
            folding = self._in_blocks(folding, blocks)
        shared = products != PAIR or folding.outputs > 1 or (array not in PLAIN and bool(self._by_pixels[at]))
        return replace(folding, products=products if shared else SINGLE, array=array)

    def deeper(self, words: int) -> np.ndarray:
        """Numbers of those with more words of weights than that."""
        return np.flatnonzero(self.depths > words)


@lru_cache(SHARED)
def mac_table(layer: MacShape) -> MacTable:
    """All that layers of a shape offer."""
    foldings = mac_foldings(layer)
    layers = [_with_pixels(layer, folding.pixels) for folding in foldings]
    depths = [_words(wide, folding) for wide, folding in zip(layers, foldings, strict=True)]
    names = [
        (each.window, each.in_luts, rom_style(depth), each.pixels) for each, depth in zip(foldings, depths, strict=True)
    ]
    numbers = {name: n for n, name in enumerate(dict.fromkeys(names))}
    kinds = np.array([numbers[name] for name in names], np.int64)
    cycles = np.array([mac_interval(wide, each) for wide, each in zip(layers, foldings, strict=True)], np.int64)
    single, pair = (OfferTable(cycles, _counts(layer, foldings, at_once), kinds) for at_once in (SINGLE, PAIR))
    whole = np.flatnonzero(np.array(depths) == 1)
    return MacTable(layer, foldings, single, pair, np.array(depths, np.int64), whole, single.some(whole))


def _counts(layer: MacShape, foldings: tuple[MacFolding, ...], at_once: int) -> np.ndarray:
    """Hardware multipliers int64 [kinds, foldings] where each of the dot products makes ``at_once`` products."""
    elements = np.array([folding.parallel * folding.portion for folding in foldings], np.int64)
    outputs = np.array([folding.outputs for folding in foldings], np.int64)
    digits = np.array([_digits(layer.digits, folding) for folding in foldings], np.int64)
    pairs = np.where((outputs > 1) & (at_once == PAIR), elements * -(-outputs // PAIR), 0)
    return np.stack([np.where(pairs > 0, 0, elements * outputs), pairs, digits])


def _words(layer: MacShape, folding: MacFolding) -> int:
    """How deep the weight memory is."""
    passes, portions = -(-layer.group_outputs // folding.outputs), -(-layer.elements // folding.portion)
    return layer.group // folding.parallel * passes * portions


def mac_interval(layer: MacShape, folding: MacFolding) -> int:
    """A lower bound of the cycles per frame: working, taking, giving."""
    passes, portions = -(-layer.group_outputs // folding.outputs), -(-layer.elements // folding.portion)
    work = layer.positions * (layer.group // folding.parallel) * passes * portions
    taken = _pixels_taken(layer, folding.window) * (layer.input.channels // folding.lanes_in)
    return max(work, taken, layer.output.elements // folding.lanes_out)


@lru_cache(SHARED)
def _pixels_taken(layer: MacShape, window: str) -> int:
    """Pixels that go into a window buffer, padding included that it takes time for."""
    return WINDOWS[window].pixels(layer.input, layer.window)


def _digits(digits: int, folding: MacFolding) -> int:
    """Hardware multipliers of the requantiser, of which a lane takes one for each digit unless these come in turn."""
    return 0 if folding.in_luts else folding.lanes_out * (1 if folding.serial else digits)


def pixel_problems(layer: MacShape, folding: MacFolding) -> list[str]:
    """Why a layer cannot have as many pixels abreast as a folding says; empty if it can."""
    pixels, wide = folding.pixels, layer.wide(folding.pixels)
    if pixels == 1:
        return []
    if wide is None:
        return [
            f"pixels {pixels} abreast do not divide rows of {layer.input.width} into beats with as many windows each; "
            f"pixels 1"
        ]
    given = folding.window, folding.parallel, folding.lanes_in
    wanted = "sliding", wide.group, wide.input.channels
    names = zip(("window", "parallel", "lanes_in"), wanted, given, strict=True)
    return [f"{name} must be {want!r} with pixels {pixels}, not {got!r}" for name, want, got in names if want != got]


def mac_problems(layer: MacLayer, folding: MacFolding) -> list[str]:
    """Why a folding cannot be built; empty if it can. More can be built than :func:`mac_foldings` offers."""
    problems = []

    def require(holds: bool, problem: str) -> None:
        if not holds:
            problems.append(problem)

    parallel, outputs, groups = folding.parallel, layer.group_outputs, layer.group
    *some, last = map(repr, WINDOWS)
    require(folding.window in WINDOWS, f"window {folding.window!r} is not {', '.join(some)} or {last}")
    if problems:
        return problems
    require(parallel in divisors(groups), f"parallel {parallel} does not divide the {groups} groups of channels")
    require(1 <= folding.portion <= layer.elements, f"portion {folding.portion} is not within 1 to {layer.elements}")
    require(1 <= folding.outputs <= outputs, f"outputs {folding.outputs} is not within 1 to {outputs}")
    require(
        parallel == 1 or folding.outputs == outputs,
        f"outputs {folding.outputs} of {parallel} groups at a time would come out of order: "
        f"all {outputs}, or parallel 1",
    )
    require(
        bool(layer.abreast) or folding.lanes_in in divisors(parallel * layer.group_inputs),
        f"lanes_in {folding.lanes_in} does not divide the input",
    )
    require(
        folding.lanes_out in divisors(parallel * outputs) and folding.lanes_out <= parallel * folding.outputs,
        f"lanes_out {folding.lanes_out} does not divide the {parallel * outputs} channels, or is more than the "
        f"{parallel * folding.outputs} outputs",
    )
    words = WINDOWS[folding.window].words(layer.window)
    if words:
        what = "parallel * portion = lanes_in" + (f" * {words} words" if words > 1 else "")
        require(
            parallel * folding.portion == words * folding.lanes_in,
            f"{folding.window} take as many elements as a beat has: {what}",
        )
        require(
            parallel == 1 or folding.portion == words * layer.group_inputs,
            f"portion {folding.portion} of {parallel} groups at a time does not come from {folding.window} in one "
            f"beat: all {words * layer.group_inputs} of a group, or parallel 1",
        )
    require(folding.products in (IN_LUTS, SINGLE, PAIR), f"products {folding.products} is not 0 (LUTs), 1 or 2 at once")
    require(
        folding.products != PAIR or folding.outputs > 1 or (folding.array not in PLAIN and layer.copies % 2 == 0),
        "products 2 needs two outputs that share an activation, or, in cascades, windows side by side that share a "
        "weight: outputs 2, or products 1",
    )
    require(folding.array in ARRAYS, f"array {folding.array!r} is none of {', '.join(map(repr, ARRAYS))}")
    require(
        folding.array in PLAIN or folding.products != IN_LUTS,
        f"array {folding.array!r} is made of hardware multipliers: products 1 or 2, or array {TREE!r}",
    )
    require(
        folding.array != CONSTANT or (folding.products, folding.weights) == (IN_LUTS, ROM),
        f"array {CONSTANT!r} is made of adders and has no memory: products 0 and weights {ROM!r}",
    )
    places = ", ".join(map(repr, WEIGHT_SOURCES))
    require(folding.weights in WEIGHT_SOURCES, f"weights {folding.weights!r} are in none of {places}")
    return problems


def mac_limits(layer: MacLayer, folding: MacFolding) -> list[str]:
    """The same of one that divides what it must: whether its parts keep up, and can be built."""
    problems, portions = [], -(-layer.elements // folding.portion)
    plan = unit_requantizer(layer, folding)
    if plan.busy > portions:
        problems.append(
            f"requantising {plan.results} outputs takes {plan.busy} cycles (limit {portions}); use more lanes_out"
        )
    if not WINDOWS[folding.window].fits(layer.input, layer.window, folding.lanes_in):
        problems.append(f"this window is not one for {folding.window!r}; use 'ring'")
    return problems


def _shapes(layer: MacShape, parallel: int) -> Iterator[MacFolding]:
    """Foldings with ``parallel`` groups at a time, but for the requantiser."""
    outputs = _useful(layer.group_outputs) if parallel == 1 else [layer.group_outputs]
    portions = divisors(layer.group_inputs) if parallel == 1 else [layer.group_inputs]
    if layer.flat:
        portions = [portion for portion in portions if layer.flat % portion == 0]
    for portion, some in product(portions, outputs):
        for name, kind in WINDOWS.items():
            lanes, words = parallel * portion, kind.words(layer.window)
            if words and kind.suits(layer.input, layer.window, lanes):
                yield MacFolding(name, words * portion, some, lanes, 1, parallel=parallel)
    if layer.flat:
        return
    held = parallel * layer.elements
    wide = [portion for portion in _useful(layer.elements) if held <= max(SLIDING_LIMIT, 4 * parallel * portion)]
    free = [name for name, kind in WINDOWS.items() if not kind.words(layer.window)]
    for portion, some, name in product(wide, outputs, free):
        for lanes in _input_lanes(layer, _suiting(layer, parallel, name), parallel, portion, some):
            yield MacFolding(name, portion, some, lanes, 1, parallel=parallel)


def _wider(layer: MacShape, fastest: int) -> Iterator[MacFolding]:
    """Foldings with several pixels abreast: only what takes fewer cycles than ``fastest``, which fewer pixels do."""
    for pixels in PIXELS:
        wide = layer.wide(pixels)
        if wide is None or not WINDOWS["sliding"].suits(wide.input, wide.window, wide.input.channels):
            continue
        found = [each for each in _abreast(wide, pixels) if mac_interval(wide, each) < fastest]
        fastest = min((mac_interval(wide, each) for each in found), default=fastest)
        yield from found


def shares_by_pixels(layer: MacShape) -> bool:
    """Whether two windows side by side may share a multiplier with a weight: outputs do not, and there are two."""
    return layer.abreast is not None and layer.abreast.positions % 2 == 0 and layer.group_outputs == 1


def _abreast(wide: MacShape, pixels: int) -> Iterator[MacFolding]:
    """Foldings of a layer with so many pixels abreast; all groups of all windows are worked on at once."""
    parallel, lanes = wide.group, wide.input.channels
    outputs = _useful(wide.group_outputs) if parallel == 1 else [wide.group_outputs]
    for portion, some in product(_useful(wide.elements), outputs):
        if parallel * wide.elements <= max(SLIDING_LIMIT, 4 * parallel * portion):
            shape = MacFolding("sliding", portion, some, lanes, 1, parallel=parallel, pixels=pixels)
            yield from _requantized(wide, shape)


def _with_pixels(layer: MacShape, pixels: int) -> MacShape:
    """``layer`` with so many pixels abreast, which it can have."""
    wide = layer.wide(pixels)
    if wide is None:
        raise ValueError(f"{pixels} pixels of {layer.input} are not abreast for {layer.window}")
    return wide


def _input_lanes(layer: MacShape, lanes: list[int], parallel: int, portion: int, outputs: int) -> list[int]:
    """The narrowest beats that come in no slower than windows are worked on, or the widest; and the narrowest with
    which rows that complete no window pass while those windows are worked on that the queue of columns holds, so that
    no pause comes between rows and frames. Empty where there are no ``lanes``."""
    channels, (top, left, bottom, right) = layer.input.channels, layer.window.pads
    window = -(-layer.group_outputs // outputs) * (layer.group // parallel) * -(-layer.elements // portion)
    row = (layer.input.width + left + right) * channels
    extent, stride = layer.window.extent[0], layer.window.strides[0]
    unused = (layer.input.height + top + bottom - extent) % stride
    skipped = max(unused + extent - 1 - top, stride - 1)
    pause = skipped * row + layer.window.extent[1] * channels
    work = layer.output.height * layer.output.width * window
    enough = [few for few in lanes if (layer.input.height + bottom) * row // few <= work] or lanes[-1:]
    held = {few: 1 + ColumnBuffer.QUEUE * few // (channels * layer.window.strides[1]) for few in enough}
    smooth = [few for few in enough if pause // few <= held[few] * window]
    return sorted({*enough[:1], *smooth[:1]})


@lru_cache(SHARED)
def _suiting(layer: MacShape, parallel: int, kind: str) -> list[int]:
    lanes = divisors(parallel * layer.group_inputs)
    return [each for each in lanes if WINDOWS[kind].suits(layer.input, layer.window, each)]


def _requantized(layer: MacShape, shape: MacFolding) -> Iterator[MacFolding]:
    """``shape`` with the cheapest requantiser that keeps up with the sums, in hardware multipliers and in LUTs."""
    found, few = _lanes(layer, shape, layer.digits), _lanes(layer, shape, 1)
    if found:
        yield replace(shape, lanes_out=found[0], serial=found[1])
    if few and layer.digits:
        yield replace(shape, lanes_out=few[0], in_luts=True)


def _lanes(layer: MacShape, shape: MacFolding, digits: int) -> tuple[int, bool] | None:
    """The fewest lanes of a requantiser that keep up with the sums, and whether a lane takes its ``digits`` in turn,
    where that takes fewer multipliers; None where none keep up."""
    portions = -(-layer.elements // shape.portion)
    ends = shape.parallel * shape.outputs, shape.parallel * layer.group_outputs
    few = least_lanes(*ends, portions)
    slow = least_lanes(*ends, portions // digits) if digits > 1 else None
    if slow and few and slow < few * digits:
        return slow, True
    return (few, False) if few else None


@lru_cache(4096)
def least_lanes(results: int, channels: int, cycles: int) -> int | None:
    """The fewest lanes that divide ``channels`` and take ``results`` in so many cycles; None if none do."""
    return next((few for few in divisors(channels) if few <= results <= few * cycles), None)


@lru_cache(4096)
def divisors(n: int) -> tuple[int, ...]:
    """All divisors of ``n``, rising."""
    return tuple(d for d in range(1, n + 1) if n % d == 0)


def _useful(n: int) -> list[int]:
    """Sizes of a part, of which no smaller one cuts ``n`` into as few parts."""
    return sorted({-(-n // parts) for parts in range(1, n + 1)})
