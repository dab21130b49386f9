"""The report as lines of text, made from its data."""

from collections.abc import Sequence
from typing import Any

from hwgen.device.clocks import Clock
from hwgen.report.dram import dram_lines
from hwgen.report.tables import by, counts, labelled, shortened, table, wrapped

_NUMBERS = 64  # characters that the other columns of the table of layers may take
_ACTIVITY_NUMBERS = 74  # those of the table of cycles
_QUEUE_NUMBERS = 42  # those of the table of queues
_SHORTCUT_NUMBERS = 40  # those of the table of shortcuts
_PROOF_NUMBERS = 62  # and those of the table of proofs


def text_of(data: dict[str, Any], width: int) -> str:
    """The report in lines of at most ``width`` characters, as long as that is enough for the numbers."""
    sections = (
        heading(data),
        layer_table(data, width),
        speed_lines(data),
        dram_lines(data),
        activity_lines(data, width),
        queue_lines(data, width),
        shortcut_lines(data, width),
        device_lines(data, width),
        board_lines(data, width),
        proof_lines(data, width),
        closing_lines(data),
    )
    return "\n\n".join("\n".join(wrapped(lines, width)) for lines in sections if lines) + "\n"


def heading(data: dict[str, Any]) -> list[str]:
    """The network's name, and what goes in and comes out."""
    network = data["network"]
    ends = " -> ".join(f"{by(network[end]['shape'])} {network[end]['type']}" for end in ("input", "output"))
    return [f"{network['name']}: {ends}"]


def layer_table(data: dict[str, Any], width: int) -> list[str]:
    """A row for each layer, in ``width`` columns of a terminal."""
    columns = ("layer", "output", "folding", "<multi-\npliers", "<memory\nbits", "<cycles\nper frame", "<busy")
    names = labelled([(layer["name"], layer["node"]) for layer in data["layers"]], width - _NUMBERS)
    rows = [
        (
            names[layer["name"]],
            f"{by(layer['output'])} {layer['type']}",
            layer["folding"],
            *counts(layer, "multipliers", "memory_bits", "cycles"),
            f"{layer['busy']:.0%}",
        )
        for layer in data["layers"]
    ]
    sums = counts(data["total"] | data["speed"], "multipliers", "memory_bits", "cycles_per_frame")
    return table(columns, rows, width, ("all", "", "", *sums, ""))


def speed_lines(data: dict[str, Any]) -> list[str]:
    """Bottleneck, throughput, latency, clock."""
    speed = data["speed"]
    clock = Clock(speed["clock_hz"], speed["clock_origin"])
    return [
        f"Bottleneck   {speed['bottleneck']}",
        f"Throughput   {speed['cycles_per_frame']:,} cycles per frame: "
        f"{speed['frames_per_second']:,.0f} frames per second at {clock.stated}",
        f"Latency      {speed['latency_cycles']:,} cycles: {time_text(speed['latency_seconds'])} at {clock}; "
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


def time_text(seconds: float) -> str:
    """In a unit that leaves few digits."""
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
    rows = [(names[row["layer"]], *counts(row, *kinds), f"{sum(row[kind] for kind in kinds):,}") for row in layers]
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
        (names[label], *counts(queue, "places", "peak"), f"{queue['peak'] / queue['places']:.0%}")
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
        (names[row["layer"]], makers.get(row["handed_by"], "a queue"), *counts(row, "two_rows", "bytes"))
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
    rows = [(row["resource"], *counts(row, "used", "available"), _percent(row)) for row in made["resources"]]
    clock, reached = Clock(made["clock_hz"]), Clock(made["reached_hz"])
    return [
        *table((f"routed on {made['board']}", "<used", "<available", "<share"), rows, width),
        "",
        f"Clock       {clock}; the routed design reaches {reached.mhz:.1f} MHz",
        f"Link        {made['baud']:,} baud, at most {made['link_frames_per_second']:,.0f} frames per second",
        f"Bitstream   {made['bitstream']}, design {made['design']}; load it with {made['load']} {made['bitstream']}",
    ]


def device_rows(fit: dict[str, Any]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Columns and rows of the device's table."""
    columns = (f"{fit['name']}, estimated", "<used", "<available", "<free", "<share")
    rows = [(row["resource"], *counts(row, "used", "available", "free"), _percent(row)) for row in fit["resources"]]
    return columns, rows


def _percent(row: dict[str, Any]) -> str:
    return f"{row['used'] / row['available']:.0%}" if row["available"] else "-"


def proof_lines(data: dict[str, Any], width: int) -> list[str]:
    """How each layer is known to be exact, a line for each."""
    columns = ("layer", "form", "<sums up to", "<checked", "<bits", "<shift")
    names = shortened([proof["layer"] for proof in data["exactness"]], width - _PROOF_NUMBERS)
    rows = [(names[proof["layer"]], proof["form"], *proof_numbers(proof)) for proof in data["exactness"]]
    if not any(proof["form"] != "none" for proof in data["exactness"]):
        return []
    said = (
        "Requantisation, proved equal to ONNX Runtime's on both sides of every threshold, over all sums that can "
        "occur; tables in every entry, sums and products on all pairs:"
    )
    return [said, "", *table(columns, rows, width)]


def proof_numbers(proof: dict[str, Any]) -> tuple[str, ...]:
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
    """What the host has to do, and warnings."""
    head, tail = data["network"]["left_to_the_host"], data["network"]["tail"]
    lines = [f"Left to the host: {', '.join(head)}"] if head else []
    lines += [f"Left to the host in tail.onnx: {tail}"] if tail else []
    return lines + [f"Warning: {line}" for line in data["warnings"]]
