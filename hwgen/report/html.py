"""The report as one page of HTML that needs nothing else: no network, no script, no other file."""

from base64 import b64encode
from typing import Any

from hwgen.dataflow.activity import Activity
from hwgen.device.clocks import Clock
from hwgen.names import identifier
from hwgen.report.picture import LANE, path, picture, side
from hwgen.report.tables import by, labelled, shortened
from hwgen.report.text import device_rows, proof_numbers, time_text
from hwgen.tools.templates import environment, render

#: Pixels of a row of the picture; and where there are more layers than ``MANY``.
ROW, LOW_ROW, MANY = 66, 34, 60
#: Pixels of a row of the timeline, likewise.
BAND, LOW_BAND = 15, 11
#: Characters that a layer's name and the model's for it may take together.
LABEL = 40
KINDS = ("works", "waits", "held", "idle")
#: What the template says numbers with.
_FILTERS = {
    "by": by,
    "number": lambda value: f"{value:,}",
    "percent": lambda share: f"{share:.0%}",
    "mhz": lambda hz: Clock(hz).mhz,
}


def html_of(data: dict[str, Any], activity: Activity | None) -> str:
    """The page for a report's ``data``, with the timeline of ``activity`` if that is there."""
    environment("hwgen.report").filters |= _FILTERS
    return render(
        "hwgen.report",
        "report.html",
        data=data,
        picture=_picture(data),
        timeline=_timeline(activity, len(data["layers"])) if activity else None,
        fit=_fit(data["device"]),
        facts=facts(data),
        proofs=[(proof["layer"], proof["form"], *proof_numbers(proof), proof["proved"]) for proof in data["exactness"]],
        steps=next_steps(data),
    )


def facts(data: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The figures that matter most: what, how much, and a remark."""
    speed, total = data["speed"], data["total"]
    clock = Clock(speed["clock_hz"], speed["clock_origin"])
    return [
        ("Frames per second", f"{speed['frames_per_second']:,.0f}", f"at {clock.stated}"),
        ("Cycles per frame", f"{speed['cycles_per_frame']:,}", f"set by {_short(speed['bottleneck'])}"),
        ("Latency", time_text(speed["latency_seconds"]), f"{speed['latency_cycles']:,} cycles at {clock}"),
        ("Multipliers", f"{total['multipliers']:,}", f"{speed['multipliers_busy']:.1%} of their cycles are useful"),
        ("Memory", _memory(total["memory_bits"]), "weights, windows, queues"),
        ("Multiplications", _count(total["multiplications"]), "per frame"),
        *_dram(data.get("dram")),
    ]


def _dram(dram: dict[str, Any] | None) -> list[tuple[str, str, str]]:
    """What is read of weights, if any are."""
    if dram is None:
        return []
    late = dram["cycles_per_frame"] - dram["cycles_never_late"]
    remark = f"{late:,} cycles per frame wait for it at most" if late else "always in time"
    return [("From DRAM", _memory(8 * dram["bytes_per_frame"]), f"per frame, {dram['gbps_needed']:.3g} GB/s; {remark}")]


def _memory(bits: int) -> str:
    """In a unit that leaves few digits."""
    kib = bits / 8192
    return f"{kib:,.1f} KiB" if kib < 10_000 else f"{kib / 1024:,.1f} MiB"


def _count(number: int) -> str:
    """Whole, or in millions where it has more than eight digits."""
    return f"{number:,}" if number < 10**8 else f"{number / 1e6:,.0f} M"


def _short(name: str) -> str:
    """The end of a long name."""
    return shortened([name], 32)[name]


def next_steps(data: dict[str, Any]) -> list[tuple[str, str]]:
    """What to do from here: a sentence, and a command or nothing."""
    name, device, speed = identifier(data["network"]["name"]), data["device"], data["speed"]
    steps = [(f"{problem}.", "python -m hwgen fit MODEL --device DEVICE") for problem in device["problems"]]
    if data["check"] is None:
        steps.append(("The hardware has not been simulated.", "python -m hwgen build MODEL"))
    steps += [
        ("Try it on frames of your own, every integer compared with ONNX Runtime's.",
         "python -m hwgen simulate MODEL --input FRAMES --against onnxruntime"),
        (f"{_short(speed['bottleneck'])} sets the pace. See what more multipliers would buy.",
         "python -m hwgen explore MODEL"),
    ]  # fmt: skip
    if "dram" not in data:
        steps.append(
            ("Run the test bench beside this page, in this folder; any Verilog simulator will do.",
             f"iverilog -g2005 -o tb.vvp {name}_tb.v {name}.v && vvp tb.vvp")
        )  # fmt: skip
    if board := data["board"]:
        steps += [
            (f"Load the bitstream into the board {board['board']}.", f"{board['load']} {board['bitstream']}"),
            ("Run frames on it.", f"python -m hwgen run MODEL --board {board['board']} --port PORT --input FRAMES"),
        ]
    else:
        steps.append(
            ("Have Yosys count what is estimated here.", f"python -m hwgen fit MODEL --device {device['name']} --synth")
        )
    if data["network"]["tail"]:
        steps.append(("Run tail.onnx on the host: what is left of the model.", ""))
    return steps


def _picture(data: dict[str, Any]) -> dict[str, Any]:
    """The rows of the picture, with what is said beside them, and its lines."""
    layers, ends = data["layers"], data["network"]["outputs"]
    streams = [stream for output in ends for stream in output["streams"]]
    count = 1 + max((edge.get("output", 0) for edge in data["edges"]), default=0)
    laid = picture([layer["name"] for layer in layers], data["edges"], count)
    row = ROW if len(layers) <= MANY else LOW_ROW
    shares = [layer["hardware_share"] for layer in layers]
    sides = [side(share, max(shares)) for share in shares]
    most = {kind: max([layer[kind] for layer in layers] + [1]) for kind in ("multipliers", "memory_bits")}
    activity = {entry["layer"]: entry for entry in data["activity"]["layers"]}
    labels = labelled([(layer["name"], layer["node"]) for layer in layers], LABEL)
    boxes = [
        {
            "name": layer["name"],
            "label": labels[layer["name"]],
            "x": LANE * (laid.lanes[n] + 0.5),
            "y": row * (n + 0.5),
            "side": edge,
            "busy": layer["busy"],
            "layer": layer,
            "cycles": [(kind, activity[layer["name"]][kind]) for kind in KINDS],
            "multipliers": layer["multipliers"] / most["multipliers"],
            "memory": layer["memory_bits"] / most["memory_bits"],
            "queues": [edge for edge in data["edges"] if edge["to"] == layer["name"] and edge["places"]],
            "handed": [edge["from"] for edge in data["edges"] if edge["to"] == layer["name"] and edge["handed"]],
        }
        for n, (layer, edge) in enumerate(zip(layers, sides, strict=True), 1)
    ]
    return {
        "width": LANE * laid.width,
        "height": row * len(laid.lanes),
        "row": row,
        "low": row == LOW_ROW,
        "boxes": boxes,
        "paths": [(path(line, laid.lanes, row), line.edge) for line in laid.lines],
        "gauges": [_gauge(line, laid.lanes, row) for line in laid.lines if line.edge["places"]],
        "ends": [
            (LANE * (lane + 0.5), row * (n + 0.5)) for n, lane in enumerate(laid.lanes) if not 0 < n <= len(layers)
        ],
        "outputs": [f"{by(stream['stream'])} {stream['type']}" for stream in streams][:count],
    }


def _gauge(line, lanes, row: int) -> dict[str, Any]:
    """A queue on its line, as high as a third of a row, filled as far as it ever was."""
    straight = lanes[line.end] == line.lane
    edge, y = line.edge, row * (line.end - (0.12 if straight else 0.7))
    share = edge["peak"] / edge["places"]
    return {"x": LANE * (line.lane + 0.5), "y": y, "height": row / 3, "share": share, **edge}


def _timeline(activity: Activity, layers: int) -> dict[str, Any]:
    end = activity.timeline.shape[1] * activity.column
    return {
        "image": f"data:image/png;base64,{b64encode(activity.png()).decode()}",
        "names": [layer.name for layer in activity.plan.layers],
        "row": BAND if layers <= MANY else LOW_BAND,
        "cycles": end,
        "frames": [(100 * (cycle + 1) / end, cycle + 1) for cycle in activity.frame_ends],
        "colours": {kind: "rgb({},{},{})".format(*(round(255 * part) for part in rgb)) for kind, rgb in activity.kinds},
    }


def _fit(device: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the device's table, with shares."""
    _, rows = device_rows(device)
    shares = [row["used"] / row["available"] if row["available"] else 0.0 for row in device["resources"]]
    return [{"cells": cells, "share": share} for cells, share in zip(rows, shares, strict=True)]
