"""Queues between layers: as deep as the rate needs, found on the schedule model.

Layers take and give in bursts: a convolution needs several rows before its first window, and gives nothing
while they come. A queue lets the layer before go on meanwhile, and holds the one branch of a fork until the other
arrives.

The depths come from a run in which nothing can be held back: queues have no end, and the source offers each frame
spread over the target, so that no layer runs ahead. The room that was used then is enough: a pipeline whose queues
have it can do the same, and with a source that offers earlier no beat comes later.
"""

from collections.abc import Iterator

from hwgen.blocks.operator import Operator
from hwgen.cost.timing import Deadlock
from hwgen.graph.errors import FitError

from .plan import LARGEST_QUEUE, Plan
from .planned import Place
from .schedule import Port, interval_of, rooms
from .stages import INPUT, Source

#: Words of a LUT memory: depths are multiples of it.
_ROUND = 16


def size_queues(plan: Plan, target: int) -> Plan:
    """``plan`` with queues with which it takes at most ``target`` cycles per frame, if any queues can do that.

    Raises FitError where a queue would have to be larger than can be built.
    """
    places = [(layer.name, n) for layer in plan.layers for n in range(len(layer.queues))]
    plan = plan.with_queues(dict.fromkeys(places, 0))
    if interval_of(plan) <= target:
        return plan
    everywhere = dict.fromkeys((place for place, feed in _feeds(plan) if feed), _ROUND)
    lacking = _lacking(plan, target)
    for chosen in (_narrowed(plan, lacking), lacking, everywhere):
        sized = _measured(plan.with_queues(chosen), chosen, target)
        if sized is not None and interval_of(sized) <= target:
            return sized
    if sized is None:
        raise FitError("the pipeline deadlocks with queues of any depth; this is a fault in hwgen, please report it")
    return sized


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
    moved = {}
    for (name, n), depth in places.items():
        layer = plan.named[name]
        edge, best = layer.inputs[n], (_bits(layer.op, n), name, n)
        joins = len(layer.inputs) > 1
        while joins and len(plan.readers[edge]) == 1 and edge[0]:
            layer = plan.named[edge[0]]
            if len(layer.inputs) > 1 or not layer.op.by_pixel:
                break
            edge, best = layer.inputs[0], min(best, (_bits(layer.op, 0), layer.name, 0))
        moved[best[1:] if len(plan.readers[edge]) > 1 else (name, n)] = depth
    return moved


def _bits(op: Operator, n: int) -> int:
    """Bits of a frame on an input."""
    return op.inputs[n].elements * op.inputs[n].type.width


def _measured(plan: Plan, places: dict[Place, int], target: int) -> Plan | None:
    """The plan with queues at ``places`` as deep as they were used; None where it deadlocks all the same."""
    holders: dict[Place, Port] = {}
    for place, feed in _feeds(plan):
        if place in places:
            holders[place] = next(at for at in feed if plan.stages[at[0]].unit.holds[at[1]])
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


def _feeds(plan: Plan) -> Iterator[tuple[Place, list[Source]]]:
    """Every input of a layer with the outputs (stage, port) on the way to it, the nearest first: those of width
    converter and queue, up to that of a layer or fork. Empty where it reads the network's input."""
    for place, source in plan.entries.items():
        feed = []
        while source != INPUT:
            feed.append(source)
            before = plan.stages[source.stage]
            if not before.unit.joins or len(before.unit.outputs) > 1:
                break
            (source,) = before.sources
        yield place, feed
