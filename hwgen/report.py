"""What a design is and needs, as data for programs (JSON) and as text for people."""

import json
import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any, Protocol

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hwgen.axi import port_names
from hwgen.dataflow.taps import waiting
from hwgen.graph.network import Network, Output, QuantizedTensor

if TYPE_CHECKING:
    from hwgen.bitstream import Implementation
    from hwgen.dataflow.activity import Activity
    from hwgen.dataflow.plan import Plan, PlannedLayer
    from hwgen.dataflow.schedule import Schedule
    from hwgen.fit import FitTable
    from hwgen.simulate import Simulation


class Reportable(Protocol):
    """What a report is made from; :class:`hwgen.flow.Design` is one. ``clock`` is in Hz."""

    network: Network
    plan: "Plan"
    schedule: "Schedule"
    clock: float
    activity: "Activity"
    fit: "FitTable"
    check: "Simulation | None"
    implementation: "Implementation | None"
    warnings: tuple[str, ...]


WIDTH = 100  # of report.txt, in characters
NARROWEST, WIDEST = 80, 120  # of the text on a terminal

_NUMBERS = 64  # characters that the other columns of the table of layers may take
_ACTIVITY_NUMBERS = 74  # those of the table of cycles
_QUEUE_NUMBERS = 42  # those of the table of queues
_SHORTCUT_NUMBERS = 40  # those of the table of shortcuts
_PROOF_NUMBERS = 62  # and those of the table of proofs

# Letters that every terminal, file and mail can show.
PLAIN = box.Box("    \n    \n -- \n    \n    \n -- \n    \n    \n", ascii=True)


@dataclass(frozen=True, eq=False)
class Report:
    """``data`` holds nothing but plain values, in a fixed order; the text is made from it."""

    data: dict[str, Any]

    def to_json(self) -> str:
        return json.dumps(self.data, indent=2) + "\n"

    def text(self, width: int = WIDTH) -> str:
        """The report in lines of at most ``width`` characters, as long as that is enough for the numbers."""
        data = self.data
        sections = (
            heading(data),
            layer_table(data, width),
            speed_lines(data),
            activity_lines(data, width),
            queue_lines(data, width),
            shortcut_lines(data, width),
            device_lines(data, width),
            board_lines(data, width),
            proof_lines(data, width),
            closing_lines(data),
        )
        return "\n\n".join("\n".join(wrapped(lines, width)) for lines in sections if lines) + "\n"

    def __str__(self) -> str:
        return self.text()


def make_report(design: Reportable) -> Report:
    """The report of ``design``."""
    network, plan = design.network, design.plan
    layers = [_layer(design, layer) for layer in plan.layers]
    interval = design.schedule.interval
    multiplications = sum(layer["multiplications"] for layer in layers)
    data = {
        "network": _network(network),
        "layers": layers,
        "total": {
            "multipliers": plan.multipliers,
            "memory_bits": plan.memory_bits,
            "multiplications": multiplications,
        },
        "speed": {
            "cycles_per_frame": interval,
            "latency_cycles": design.schedule.latency,
            "first_output_cycles": design.schedule.first_output,
            "bottleneck": design.schedule.bottleneck,
            "clock_hz": design.clock,
            "frames_per_second": design.clock / interval,
            "latency_seconds": design.schedule.latency / design.clock,
            "multipliers_busy": multiplications / max(plan.multipliers * interval, 1),
        },
        "activity": _activity(design.activity),
        "shortcuts": [asdict(shortcut) for shortcut in waiting(plan)],
        "device": design.fit.data,
        "board": design.implementation.data if design.implementation else None,
        "check": _check(design),
        "exactness": [_proof(layer) for layer in plan.layers],
        "warnings": list(design.warnings),
    }
    return Report(data)


# Data


def _network(network: Network) -> dict[str, Any]:
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
        "scale": list(quantization.scale) if quantization.per_channel else quantization.scale,
        "zero_point": quantization.zero_point,
    }


def _layer(design: Reportable, layer: "PlannedLayer") -> dict[str, Any]:
    """One layer with the queue and width converter in front of it."""
    stages = [stage for stage in design.plan.stages if stage.layer == layer.name]
    return {
        "name": layer.name,
        "operator": type(layer.op).__name__,
        "input": list(layer.op.input.shape),
        "output": list(layer.op.output.shape),
        "type": str(layer.op.output.type),
        "folding": str(layer.folding),
        "lanes_in": layer.folding.lanes_in,
        "lanes_out": layer.folding.lanes_out,
        "queue_beats": sum(layer.queues),
        "multipliers": sum(stage.cost.multipliers for stage in stages),
        "memory_bits": sum(stage.cost.memory_bits for stage in stages),
        "cycles": layer.cost.cycles,
        "busy": layer.cost.cycles / design.schedule.interval,
        "multiplications": layer.op.macs,
    }


def _activity(activity: "Activity") -> dict[str, Any]:
    """Cycles of a frame in steady state by layer, and how full queues become."""
    stages = activity.plan.stages
    queues = [
        {"name": stages[n].name, "output": port, "places": stages[n].ports[port][1].queue, "peak": peak}
        for (n, port), peak in activity.peaks.items()
    ]
    return {"layers": [{"layer": name, **asdict(cycles)} for name, cycles in activity.cycles.items()], "queues": queues}


def _proof(layer: "PlannedLayer") -> dict[str, Any]:
    """How it is known that the layer's hardware computes what golden defines."""
    op = layer.op
    if hasattr(op, "requantization"):
        return {"layer": layer.name, **op.requantization.certificate()}
    if hasattr(op, "certificate"):
        return {"layer": layer.name, **op.certificate()}
    if hasattr(op, "values"):
        return {
            "layer": layer.name,
            "form": "table",
            "proved": "every entry is the definition",
            "entries": op.values.size,
        }
    return {"layer": layer.name, "form": "none", "proved": "nothing is rounded: no requantisation"}


def _check(design: Reportable) -> dict[str, Any] | None:
    """What the simulation of :meth:`Design.checked` compared."""
    result = design.check
    if result is None:
        return None
    compared = [result.tensors[layer.output].size for layer in design.network.layers]
    return {
        "frames": len(result.integers),
        "layers": len(compared),
        "integers": sum(compared),
        "equal": result.equal,
        "latency_cycles": result.timing.latency,
    }


# Text


def heading(data: dict[str, Any]) -> list[str]:
    network = data["network"]
    ends = " -> ".join(f"{by(network[end]['shape'])} {network[end]['type']}" for end in ("input", "output"))
    return [f"{network['name']}: {ends}"]


def by(sizes: Iterable[int]) -> str:
    """``28x28x6``."""
    return "x".join(map(str, sizes))


def layer_table(data: dict[str, Any], width: int) -> list[str]:
    columns = ("layer", "output", "folding", "<multi-\npliers", "<memory\nbits", "<cycles\nper frame", "<busy")
    names = shortened([layer["name"] for layer in data["layers"]], width - _NUMBERS)
    rows = [
        (
            names[layer["name"]],
            f"{by(layer['output'])} {layer['type']}",
            layer["folding"],
            f"{layer['multipliers']:,}",
            f"{layer['memory_bits']:,}",
            f"{layer['cycles']:,}",
            f"{layer['busy']:.0%}",
        )
        for layer in data["layers"]
    ]
    total, speed = data["total"], data["speed"]
    sums = (f"{total['multipliers']:,}", f"{total['memory_bits']:,}", f"{speed['cycles_per_frame']:,}")
    return table(columns, rows, width, ("all", "", "", *sums, ""))


def speed_lines(data: dict[str, Any]) -> list[str]:
    speed = data["speed"]
    clock = f"{speed['clock_hz'] / 1e6:g} MHz"
    return [
        f"Bottleneck   {speed['bottleneck']}",
        f"Throughput   {speed['cycles_per_frame']:,} cycles per frame: "
        f"{speed['frames_per_second']:,.0f} frames per second at {clock}",
        f"Latency      {speed['latency_cycles']:,} cycles: {_time(speed['latency_seconds'])} at {clock}; "
        f"the first output comes after {speed['first_output_cycles']:,}",
        f"Multipliers  {speed['multipliers_busy']:.1%} of their cycles do a useful multiplication",
        *_check_line(data["check"]),
    ]


def _check_line(check: dict[str, Any] | None) -> list[str]:
    if check is None:
        return []
    frames = f"{check['frames']} frame{'s' * (check['frames'] != 1)}"
    compared = f"all {check['integers']:,} integers of {check['layers']} layers"
    return [f"Simulated    {frames}: RTL equals golden in {compared}"]


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds / 1e-9:.4g} ns"


def activity_lines(data: dict[str, Any], width: int) -> list[str]:
    """Where the cycles of each layer go in steady state."""
    columns = ("layer", "<works", "<waits\nfor input", "<held\nback", "<idle until\nthe next frame", "<all")
    layers = data["activity"]["layers"]
    names = shortened([row["layer"] for row in layers], width - _ACTIVITY_NUMBERS)
    kinds = ("works", "waits", "held", "idle")
    rows = [
        (names[row["layer"]], *(f"{row[kind]:,}" for kind in kinds), f"{sum(row[kind] for kind in kinds):,}")
        for row in layers
    ]
    return ["Cycles of a frame in steady state, where they go:", "", *table(columns, rows, width)]


def queue_lines(data: dict[str, Any], width: int) -> list[str]:
    """The queues between layers, and how full they become."""
    layers = {row["layer"] for row in data["activity"]["layers"]}
    queues = [queue for queue in data["activity"]["queues"] if queue["name"] not in layers]
    if not queues:
        return []
    labels = [f"{queue['name']}.{queue['output']}" for queue in queues]
    names = shortened(labels, width - _QUEUE_NUMBERS)
    rows = [
        (names[label], f"{queue['places']:,}", f"{queue['peak']:,}", f"{queue['peak'] / queue['places']:.0%}")
        for label, queue in zip(labels, queues, strict=True)
    ]
    return table(("queue between layers", "<places", "<most taken", "<share"), rows, width)


def shortcut_lines(data: dict[str, Any], width: int) -> list[str]:
    """What waits for the other operand of a sum, and what it takes."""
    shortcuts = data["shortcuts"]
    if not shortcuts:
        return []
    names = shortened([row["layer"] for row in shortcuts], (width - _SHORTCUT_NUMBERS) // 2)
    makers = shortened([row["handed_by"] for row in shortcuts if row["handed_by"]], (width - _SHORTCUT_NUMBERS) // 2)
    rows = [
        (names[row["layer"]], makers.get(row["handed_by"], "a queue"), f"{row['two_rows']:,}", f"{row['bytes']:,}")
        for row in shortcuts
    ]
    sums = "", *(f"{sum(row[kind] for row in shortcuts):,}" for kind in ("two_rows", "bytes"))
    return table(("shortcut to", "from", "<bytes of\ntwo rows", "<bytes\ntaken"), rows, width, ("all", *sums))


def device_lines(data: dict[str, Any], width: int) -> list[str]:
    """What the device is asked for, estimated, and what is in the way."""
    fit = data["device"]
    return [*table(*device_rows(fit), width), *(f"Does not fit: {problem}" for problem in fit["problems"])]


def board_lines(data: dict[str, Any], width: int) -> list[str]:
    """What was routed: its clock and what it takes."""
    made = data["board"]
    if made is None:
        return []
    rows = [(row["resource"], f"{row['used']:,}", f"{row['available']:,}", _percent(row)) for row in made["resources"]]
    return [
        *table((f"routed on {made['board']}", "<used", "<available", "<share"), rows, width),
        "",
        f"Clock       {made['clock_hz'] / 1e6:g} MHz; the routed design reaches {made['reached_hz'] / 1e6:.1f} MHz",
        f"Link        {made['baud']:,} baud, at most {made['link_frames_per_second']:,.0f} frames per second",
        f"Bitstream   {made['bitstream']}, design {made['design']}; load it with {made['load']} {made['bitstream']}",
    ]


def device_rows(fit: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and rows of the device's table."""
    columns = (f"{fit['name']}, estimated", "<used", "<available", "<free", "<share")
    rows = [
        (row["resource"], f"{row['used']:,}", f"{row['available']:,}", f"{row['free']:,}", _percent(row))
        for row in fit["resources"]
    ]
    return columns, rows


def _percent(row: dict[str, Any]) -> str:
    return f"{row['used'] / row['available']:.0%}" if row["available"] else "-"


def proof_lines(data: dict[str, Any], width: int) -> list[str]:
    """How each layer is known to be exact, a line for each."""
    columns = ("layer", "form", "<sums up to", "<checked", "<bits", "<shift")
    names = shortened([proof["layer"] for proof in data["exactness"]], width - _PROOF_NUMBERS)
    rows = [(names[proof["layer"]], proof["form"], *_proof_numbers(proof)) for proof in data["exactness"]]
    if not any(proof["form"] != "none" for proof in data["exactness"]):
        return []
    said = (
        "Requantisation, proved equal to ONNX Runtime's on both sides of every threshold, over all sums that can "
        "occur; tables in every entry, sums and products on all pairs:"
    )
    return [said, "", *table(columns, rows, width)]


def _proof_numbers(proof: dict[str, Any]) -> tuple[str, ...]:
    """The greatest sum, thresholds or entries compared, widths of the product's operands, shift."""
    if "pairs" in proof:
        return "", f"{proof['pairs']:,}", "", str(proof.get("shift", ""))
    if "entries" in proof:
        return "", f"{proof['entries']:,}", "", ""
    if "thresholds" not in proof:
        return "", "", "", ""
    bits = f"{proof['operand_bits']} x {proof['multiplier_bits']}" if "operand_bits" in proof else ""
    return f"{max(map(abs, proof['sums'])):,}", f"{proof['thresholds']:,}", bits, str(proof.get("shift", ""))


def closing_lines(data: dict[str, Any]) -> list[str]:
    head, tail = data["network"]["left_to_the_host"], data["network"]["tail"]
    lines = [f"Left to the host: {', '.join(head)}"] if head else []
    lines += [f"Left to the host in tail.onnx: {tail}"] if tail else []
    return lines + [f"Warning: {line}" for line in data["warnings"]]


def shortened(names: Iterable[str], most: int) -> dict[str, str]:
    """Names of at most ``most`` characters: the end of one says more than its beginning in what the common exporters
    write. Where ends are alike, the place in the list tells them apart."""
    names = tuple(names)
    ends = Counter(name[-(most - 2) :] for name in names)

    def short(place: int, name: str) -> str:
        if len(name) <= most:
            return name
        mark = ".." if ends[name[-(most - 2) :]] == 1 else f"#{place}.."
        return mark + name[len(mark) - most :]

    return {name: short(place, name) for place, name in enumerate(names, 1)}


def wrapped(lines: list[str], width: int) -> list[str]:
    """Lines that are too long go on in the next one, indented; tables are not."""
    return [part for line in lines for part in ([line] if len(line) <= width else _wrap(line, width))]


def _wrap(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, subsequent_indent=" " * 13, break_on_hyphens=False)


def table(
    columns: Iterable[str], rows: Iterable[Iterable[str]], width: int, footer: Iterable[str] | None = None
) -> list[str]:
    """The lines of a table in plain text; columns whose name begins with ``<`` are numbers and lie right."""
    columns = tuple(columns)
    grid = Table(box=PLAIN, pad_edge=False, show_edge=False, show_footer=footer is not None)
    for name, foot in zip(columns, footer or [""] * len(columns), strict=True):
        number = name.startswith("<")
        side = "right" if number else "left"
        grid.add_column(Text(name.removeprefix("<")), Text(foot), justify=side, no_wrap=number, overflow="fold")
    for row in rows:
        grid.add_row(*map(Text, row))
    stream = StringIO()
    console = Console(file=stream, width=width, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(grid)
    return [line.rstrip() for line in stream.getvalue().rstrip("\n").split("\n")]
