"""What a design is and needs, as data for programs (JSON), as text and as a page for people."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from hwgen.accelerator import Accelerator
from hwgen.board.bitstream import Implementation
from hwgen.dataflow.activity import Activity
from hwgen.dataflow.fit import by_layer
from hwgen.dataflow.planned import PlannedLayer
from hwgen.dataflow.stages import Stage
from hwgen.dataflow.taps import waiting
from hwgen.device.mapping import place
from hwgen.device.needs import Needs
from hwgen.device.targets import Device
from hwgen.graph.network import Network, Output, QuantizedTensor, screenful
from hwgen.report.dram import dram_data
from hwgen.report.graph import edges
from hwgen.report.html import html_of
from hwgen.report.text import text_of
from hwgen.simulate.simulation import Simulation
from hwgen.top.axi import port_names

WIDTH = 100  # of report.txt, in characters
NARROWEST, WIDEST = 80, 120  # of the text on a terminal


@dataclass(frozen=True, eq=False)
class Report:
    """``data`` holds nothing but plain values, in a fixed order; text and page are made from it. The page has the
    timeline of ``activity``, too."""

    data: dict[str, Any]
    activity: Activity | None = None

    def to_json(self) -> str:
        """As report.json has it."""
        return json.dumps(self.data, indent=2) + "\n"

    def text(self, width: int = WIDTH) -> str:
        """The report in lines of at most ``width`` characters, as long as that is enough for the numbers."""
        return text_of(self.data, width)

    def html(self) -> str:
        """One page that needs no network and no other file."""
        return html_of(self.data, self.activity)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return screenful(self.text().splitlines())

    def _repr_html_(self) -> str:
        """What a notebook shows: the page, in a frame as its styles are its own."""
        return f'<iframe srcdoc="{escape(self.html())}" style="width: 100%; height: 640px; border: 0"></iframe>'


def make_report(
    made: Accelerator,
    settings: Mapping[str, Any],
    warnings: Sequence[str],
    check: Simulation | None,
    implementation: Implementation | None,
) -> Report:
    """The report of what was ``made``, as it was asked for with ``settings``."""
    network, plan = made.network, made.plan
    layers = layers_data(made)
    interval = made.schedule.interval
    multiplications = sum(layer["multiplications"] for layer in layers)
    data = {
        "network": network_data(network),
        "settings": dict(settings),
        "layers": layers,
        "total": {
            "multipliers": plan.multipliers,
            "memory_bits": plan.memory_bits,
            "multiplications": multiplications,
        },
        "speed": {
            "cycles_per_frame": interval,
            "latency_cycles": made.schedule.latency,
            "first_output_cycles": made.schedule.first_output,
            "bottleneck": made.schedule.bottleneck,
            "clock_hz": made.clock.hz,
            "clock_origin": made.clock.origin,
            "frames_per_second": made.clock.rate(interval),
            "latency_seconds": made.clock.seconds(made.schedule.latency),
            "multipliers_busy": multiplications / max(plan.multipliers * interval, 1),
        },
        "activity": _activity(made.activity),
        "edges": edges(plan, made.activity),
        "shortcuts": [asdict(shortcut) for shortcut in waiting(plan)],
        "device": made.fit.data,
        **dram_data(plan, made.clock),
        "board": implementation.data if implementation else None,
        "check": _check(network, check),
        "exactness": [_proof(each.name, op) for layer in plan.layers for each, op in layer.computed],
        "warnings": list(warnings),
    }
    return Report(data, made.activity)


def network_data(network: Network) -> dict[str, Any]:
    """What goes in and what comes out."""
    return {
        "name": network.name,
        "input": _tensor(network.input, network.input_shape),
        "output": _tensor(network.output, network.outputs[0].shape),
        "outputs": [_output(network, output) for output in network.outputs],
        "left_to_the_host": [*(str(output.function) for output in network.outputs if output.function), *network.head],
        "tail": str(network.tail) if network.tail else None,
    }


def _output(network: Network, output: Output) -> dict[str, Any]:
    """What the host needs to make the model's own result of the streams."""
    names = (stream.name for stream in network.results)
    ports = dict(zip(names, port_names(len(network.results)), strict=True))
    return {
        "name": output.name,
        "shape": list(output.shape),
        "streams": [{"port": ports[stream.name]} | _tensor(stream, stream.map.shape) for stream in output.streams],
        "order": output.order,
        "function": str(output.function) if output.function else None,
    }


def _tensor(tensor: QuantizedTensor, shape: tuple[int, ...]) -> dict[str, Any]:
    quantization = tensor.quantization
    return {
        "name": tensor.name,
        "shape": list(shape),
        "stream": list(tensor.map.shape),
        "type": str(quantization.type),
        "scale": quantization.scales.tolist(),
        "zero_point": quantization.zero_point,
    }


def layers_data(made: Accelerator) -> list[dict[str, Any]]:
    """What each layer is, takes and does."""
    hardware = by_layer(made.plan, made.fit.stages)
    return [_layer(made, layer, hardware) for layer in made.plan.layers]


def _layer(made: Accelerator, layer: PlannedLayer, needs: Mapping[str, Needs]) -> dict[str, Any]:
    """One layer with the queue and width converter in front of it."""
    hardware = needs[layer.name]
    stages = [stage for stage in made.plan.stages if stage.layer == layer.name]
    return {
        "name": layer.name,
        "node": layer.node,
        "operator": type(layer.op).__name__,
        "input": list(layer.op.input.shape),
        "output": list(layer.op.output.shape),
        "type": str(layer.op.output.type),
        "folding": str(layer.unit),
        "lanes_in": layer.unit.lanes_in,
        "lanes_out": layer.unit.lanes_out,
        "queue_beats": sum(layer.queues),
        "multipliers": sum(stage.cost.multipliers for stage in stages),
        "memory_bits": sum(stage.cost.memory_bits for stage in stages),
        "memory_places": _places(stages, made.device),
        "cycles": layer.cost.cycles,
        "busy": layer.cost.cycles / made.schedule.interval,
        "multiplications": layer.op.macs,
        "hardware": asdict(hardware),
        "hardware_share": made.device.share(hardware),
    }


def _places(stages: Sequence[Stage], device: Device) -> dict[str, int]:
    """Bits of memories by where they are."""
    places = {"LUTs": 0, "block RAM": 0, "large RAM": 0}
    for memory in (memory for stage in stages for memory in stage.cost.memories):
        places[place(memory, device)] += memory.bits
    return places


def _activity(activity: Activity) -> dict[str, Any]:
    """Cycles of a frame in steady state by layer, and how full queues become."""
    stages = activity.plan.stages
    queues = [
        {"name": stages[n].name, "output": port, "places": stages[n].ports[port][1].queue, "peak": peak}
        for (n, port), peak in activity.peaks.items()
    ]
    return {"layers": [{"layer": name, **asdict(cycles)} for name, cycles in activity.cycles.items()], "queues": queues}


def _proof(layer: str, op: Any) -> dict[str, Any]:
    """How it is known that the hardware of a layer computes what golden defines."""
    proved = getattr(op, "requantization", op)
    if hasattr(proved, "certificate"):
        return {"layer": layer, **proved.certificate()}
    return {"layer": layer, "form": "none", "proved": "nothing is rounded: no requantisation"}


def _check(network: Network, result: Simulation | None) -> dict[str, Any] | None:
    """What the simulation of :meth:`Design.checked` compared."""
    if result is None:
        return None
    compared = [result.tensors[layer.output].size for layer in network.layers if layer.output in result.tensors]
    return {
        "frames": len(result.integers),
        "layers": len(compared),
        "integers": sum(compared),
        "equal": result.equal,
        "latency_cycles": result.measured.latency,
    }
