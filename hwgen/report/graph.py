"""The pipeline as a graph of layers: who reads whom, through which queue."""

from typing import Any

from hwgen.dataflow.activity import Activity
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.stages import INPUT, Source


def edges(plan: Plan, activity: Activity) -> list[dict[str, Any]]:
    """An entry for every map that goes from layer to layer, ``""`` being the network's ends: its largest queue's
    ``places`` and the ``peak`` taken of it, both 0 without a queue. ``handed``: it is the map that a layer has read."""
    walk = _Walk(plan, activity)
    ends = [(layer.name, plan.entries[layer.name, n]) for layer in plan.layers for n in range(len(layer.op.inputs))]
    found = [walk.back(layer, source) for layer, source in ends]
    return [edge for several in found for edge in several] + [
        edge | {"output": n} for n, source in enumerate(plan.outputs) for edge in walk.back("", source)
    ]


class _Walk:
    def __init__(self, plan: Plan, activity: Activity):
        self.stages, self.peaks = plan.stages, activity.peaks

    def back(self, reader: str, source: Source) -> list[dict[str, Any]]:
        """The edges to ``reader`` by way of ``source``: one, as what stands between layers has one origin."""
        places, peak = 0, 0
        while source != INPUT:
            stage = self.stages[source.stage]
            if stage.is_layer:
                return [_edge(stage.layer, reader, places, peak, handed=source.port > 0)]
            queue = stage.ports[source.port][1].queue
            if queue > places:
                places, peak = queue, self.peaks[source.stage, source.port]
            if stage.layer != reader and not stage.unit.joins:
                return [_edge(stage.layer, reader, places, peak, handed=True)]
            source = stage.sources[0]
        return [_edge("", reader, places, peak, handed=False)]


def _edge(origin: str, reader: str, places: int, peak: int, handed: bool) -> dict[str, Any]:
    return {"from": origin, "to": reader, "places": places, "peak": peak, "handed": handed}
