"""Queues between layers: as deep as the rate needs, found on the schedule model.

Layers take and give in bursts: a convolution needs several rows before its first window, and gives nothing
while they come. A queue lets the layer before go on meanwhile.
"""

from .plan import Plan
from .schedule import schedule

#: Frames of a trial: the first fills the pipeline, the others show the steady state.
_FRAMES = 4


def size_queues(plan: Plan, target: int) -> Plan:
    """The least queues, layer by layer, with which ``plan`` takes at most ``target`` cycles per frame.

    Where no queues of up to two frames are enough, those that come nearest are kept.
    """
    if _interval(plan) <= target:
        return plan
    largest = {layer.name: _largest(layer) for layer in plan.layers[1:]}
    roomy = plan.with_queues(largest)
    target = max(target, _interval(roomy))
    depths = dict(largest)
    for name in largest:
        depths[name] = _least(plan, depths, name, target)
    return plan.with_queues(depths)


def _largest(layer) -> int:
    return max(16, layer.op.input.elements // layer.folding.lanes_in)


def _least(plan: Plan, depths: dict[str, int], name: str, target: int) -> int:
    """The least depth for one queue that keeps the rate, the others staying: 0, or a power of two from 16."""
    trials = [0]
    while trials[-1] < depths[name]:
        trials.append(max(16, 2 * trials[-1]))
    low, high = 0, len(trials) - 1
    while low < high:
        middle = (low + high) // 2
        if _interval(plan.with_queues({**depths, name: trials[middle]})) <= target:
            high = middle
        else:
            low = middle + 1
    return trials[low]


def _interval(plan: Plan) -> int:
    return schedule(plan, _FRAMES).interval
