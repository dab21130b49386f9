"""Queues between layers: as deep as the rate needs, found on the schedule model.

Layers take and give in bursts: a convolution needs several rows before its first window, and gives nothing
while they come. A queue lets the layer before go on meanwhile, and holds the one branch of a fork until the other
arrives.

The depths come from a run in which nothing can be held back: queues have no end, and the source offers each frame
spread over the target, so that no layer runs ahead. The room that was used then is enough: a pipeline whose queues
have it can do the same, and with a source that offers earlier no beat comes later.
"""

from collections import Counter
from collections.abc import Iterator

from hwgen.blocks import ChannelTable, Pad, Slice, Table
from hwgen.blocks.convert import WidthConverter
from hwgen.blocks.fork import Fork
from hwgen.blocks.operator import Operator
from hwgen.blocks.queue import StreamQueue
from hwgen.cost.timing import Deadlock
from hwgen.graph.errors import FitError

from .plan import LARGEST_QUEUE, Plan
from .schedule import Port, rooms, schedule
from .stages import INPUT

#: An input of a layer: its name and which one.
Place = tuple[str, int]

#: Words of a LUT memory: depths are multiples of it.
_ROUND = 16


def size_queues(plan: Plan, target: int) -> Plan:
    """``plan`` with queues with which it takes at most ``target`` cycles per frame, if any queues can do that.

    Raises FitError where a queue would have to be larger than can be built.
    """
    places = [(layer.name, n) for layer in plan.layers for n in range(len(layer.queues))]
    plan = plan.with_queues(dict.fromkeys(places, 0))
    if _interval(plan) <= target:
        return plan
    everywhere = dict.fromkeys((place for place, feed in _feeds(plan) if feed), _ROUND)
    lacking = _lacking(plan, target)
    for chosen in (_narrowed(plan, lacking), lacking, everywhere):
        sized = _measured(plan.with_queues(chosen), chosen, target)
        if sized is not None and _interval(sized) <= target:
            return sized
    if sized is None:
        raise FitError("the pipeline deadlocks with queues of any depth; this is a fault in hwgen, please report it")
    return sized


def _interval(plan: Plan) -> float:
    try:
        return schedule(plan).interval
    except Deadlock:
        return float("inf")


def _lacking(plan: Plan, target: int) -> dict[Place, int]:
    """The inputs in front of which the blocks' own queues are too short."""
    every = range(len(plan.stages))
    feeds = list(_feeds(plan))
    room = rooms(plan, target, every, {at for _, feed in feeds for at in feed})
    lacking = {}
    for place, feed in feeds:
        if any(room[stage, port] > plan.stages[stage].ports[port][1].queue for stage, port in feed):
            lacking[place] = _ROUND
    return lacking


def _narrowed(plan: Plan, places: dict[Place, int]) -> dict[Place, int]:
    """``places`` with the queues of shortcuts moved to where they hold least: further up the branch, as far as its
    layers take a pixel at a time."""
    layers = {layer.name: (layer, placed) for layer, placed in zip(plan.layers, plan.network.layers, strict=True)}
    makers = {placed.output: placed.name for placed in plan.network.layers}
    readers = Counter(name for placed in plan.network.layers for name in placed.inputs)
    readers.update(stream.name for stream in plan.network.results)
    moved = {}
    for (name, n), depth in places.items():
        layer, placed = layers[name]
        tensor, best = placed.inputs[n], (_bits(layer.op, n), name, n)
        joins = len(placed.inputs) > 1
        while joins and readers[tensor] == 1 and tensor in makers:
            layer, placed = layers[makers[tensor]]
            if len(placed.inputs) > 1 or not by_pixel(layer.op):
                break
            tensor, best = placed.inputs[0], min(best, (_bits(layer.op, 0), placed.name, 0))
        moved[best[1:] if readers[tensor] > 1 else (name, n)] = depth
    return moved


def _bits(op: Operator, n: int) -> int:
    """Bits of a frame on an input."""
    return op.inputs[n].elements * op.inputs[n].type.width


def by_pixel(op: Operator) -> bool:
    """Whether each pixel of the result needs one pixel of the input."""
    window = getattr(op, "window", None)
    return window.kernel == (1, 1) if window else isinstance(op, Slice | Pad | Table | ChannelTable)


def _measured(plan: Plan, places: dict[Place, int], target: int) -> Plan | None:
    """The plan with queues at ``places`` as deep as they were used; None where it deadlocks all the same."""
    holders = {}
    for place, feed in _feeds(plan):
        if place in places:
            holders[place] = next(at for at in feed if isinstance(plan.stages[at[0]].unit, Fork | StreamQueue))
    try:
        room = _free_rooms(plan, target, set(holders.values()))
    except Deadlock:
        return None
    depths = {place: -(-room[at] // _ROUND) * _ROUND for place, at in holders.items()}
    for (name, _), depth in depths.items():
        if depth > LARGEST_QUEUE:
            raise FitError(
                f"layer {name!r}: it needs a queue of {depth} beats in front of it (limit {LARGEST_QUEUE}); "
                "ask for a lower rate or fewer multipliers"
            )
    return plan.with_queues(depths)


def _free_rooms(plan: Plan, pace: int, free: set[Port]) -> dict[Port, int]:
    """What queues at the outputs ``free`` need where those of their stages have no end, and others are as they are."""
    every = {(n, port): give.queue for n, stage in enumerate(plan.stages) for port, (_, give) in enumerate(stage.ports)}
    room = rooms(plan, pace, range(len(plan.stages)), every)
    stages = {stage for stage, _ in free}
    if all(room[at] <= queue for at, queue in every.items() if at[0] not in stages):
        return room  # the others hold nothing up: with them it is the same run, found much faster
    return rooms(plan, pace, stages, free)


def _feeds(plan: Plan) -> Iterator[tuple[Place, list[tuple[int, int]]]]:
    """Every input of a layer with the outputs (stage, port) on the way to it, the nearest first: those of width
    converter and queue, up to that of a layer or fork. Empty where it reads the network's input."""
    for place, source in plan.entries.items():
        feed = []
        while source != INPUT:
            feed.append((source.stage, source.port))
            before = plan.stages[source.stage]
            if not isinstance(before.unit, StreamQueue | WidthConverter):
                break
            (source,) = before.sources
        yield place, feed
