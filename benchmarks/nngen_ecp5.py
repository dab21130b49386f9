"""LeNet-5 by NNgen and by hwgen through the same Yosys and nextpnr, for an ECP5 (LFE5U-85F): LUTs, multipliers, clock.

    pip install nngen
    python -m benchmarks.nngen_ecp5
    python -m benchmarks.nngen_ecp5 --kernel 3

NNgen's LeNet-5 does not fit, so there is a second network: LeNet-5 with kernels of 3x3 in place of 5x5, with random
weights, for which NNgen makes less. Both designs stand between registers, with one pin in and one out, so that no pin
limits them. NNgen's has its DMA and an AXI port to a memory outside, which holds weights, images and what lies between
layers; hwgen's is a stream with all of that inside. Cycles are counted in simulations: of NNgen's by
`python -m benchmarks.nngen_lenet5`. A row takes up to an hour.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from contextlib import chdir
from pathlib import Path

import click
import numpy as np

from .clock import DEVICE, FOLD, Surrounded, place_and_route, read_report
from .nngen_lenet5 import BUS, MODEL

BUDGETS = (25, 148)
FOLDING = (1, 1, 1, 1)
#: Channels of the convolutions and of the layers behind them.
CHANNELS, FULL = (6, 16), (120, 84, 10)


@click.command()
@click.option("--kernel", type=click.Choice(["5", "3"]), default="5", show_default=True)
@click.option("--tool", type=click.Choice(["nngen", "hwgen"]), help="Only this one.  [both]")
def main(kernel: str, tool: str | None) -> None:
    """Print a line for each design."""
    print("| design | LUT4 | flip-flops | 18x18 multipliers | block RAM | MHz | minutes |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        file = MODEL if kernel == "5" else small(Path("lenet5_3x3.onnx"))
        if tool != "hwgen":
            print(row(f"NNgen, {kernel}x{kernel}", *nngen(file)), flush=True)
        for budget in BUDGETS if tool != "nngen" else ():
            print(row(f"hwgen@{budget}, {kernel}x{kernel}", *hwgen(file, budget)), flush=True)


def row(name: str, commands: str, text: str) -> str:
    """A line of the table, for a module ``top`` in ``text`` and the ``commands`` that read it into Yosys."""
    from hwgen.netlist import improved
    from hwgen.tools import ToolError
    from hwgen.yosys import run_yosys

    began = time.monotonic()
    script = f"{commands}\nsynth_ecp5 -top top -json netlist.json\n"
    netlist = json.loads(run_yosys(script, inputs={"design": text}, outputs=["netlist.json"]).files["netlist.json"])
    if name.startswith("hwgen"):
        netlist = improved(netlist)
    try:
        found = read_report(place_and_route(json.dumps(netlist), 1, 100), 0)
        cells = [found.luts, found.ffs, found.dsps, found.brams, f"{found.mhz:.1f}"]
    except ToolError as error:
        kinds = ("TRELLIS_COMB", "TRELLIS_FF", "MULT18X18D", "DP16KD")
        cells = [*(utilised(error.log, kind) for kind in kinds), "does not fit"]
    texts = [f"{cell:,}" if isinstance(cell, int) else cell for cell in cells]
    return "| " + " | ".join((name, *texts, f"{(time.monotonic() - began) / 60:.0f}")) + " |"


def utilised(log: str, kind: str) -> int:
    """How many cells of a kind nextpnr has counted before it gave up."""
    return int(re.search(rf"{kind}:\s+(\d+)/", log)[1])


def small(file: Path) -> Path:
    """LeNet-5 with kernels of 3x3, written to ``file``."""
    from onnx import TensorProto, helper, numpy_helper, save

    chosen = np.random.default_rng(0)
    nodes, weights, name, channels = [], [], "x", 1

    def layer(op: str, shape: tuple[int, ...], **attributes) -> None:
        nonlocal name
        n = len(nodes)
        weights.append(numpy_helper.from_array(chosen.normal(0, 0.1, shape).astype(np.float32), f"w{n}"))
        weights.append(numpy_helper.from_array(chosen.normal(0, 0.1, shape[0]).astype(np.float32), f"b{n}"))
        nodes.append(helper.make_node(op, [name, f"w{n}", f"b{n}"], [f"y{n}"], **attributes))
        name = f"y{n}"

    def then(op: str, **attributes) -> None:
        nonlocal name
        nodes.append(helper.make_node(op, [name], [f"z{len(nodes)}"], **attributes))
        name = f"z{len(nodes) - 1}"

    size = 28
    for count, pad in zip(CHANNELS, (1, 0), strict=True):
        layer("Conv", (count, channels, 3, 3), kernel_shape=[3, 3], pads=[pad] * 4)
        then("Relu")
        then("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
        size, channels = (size + 2 * pad - 2) // 2, count
    then("Flatten")
    inputs = size * size * channels
    for n, count in enumerate(FULL):
        layer("Gemm", (count, inputs), transB=1)
        inputs = count
        if n < len(FULL) - 1:
            then("Relu")
    infos = [helper.make_tensor_value_info(*each) for each in (("x", 1, [1, 1, 28, 28]), (name, 1, [1, FULL[-1]]))]
    assert infos[0].type.tensor_type.elem_type == TensorProto.FLOAT
    graph = helper.make_graph(nodes, "lenet5_3x3", infos[:1], infos[1:], weights)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), file)
    return file


def hwgen(file: Path, budget: int) -> tuple[str, str]:
    """RTLIL of hwgen's pipeline, and what reads it."""
    from hwgen import flow
    from hwgen.dataflow.pipeline import Pipeline
    from hwgen.rtlil import to_rtlil
    from hwgen.synth import preparation
    from hwgen.targets import device

    from .nngen_lenet5 import pictures

    part = device(DEVICE)
    network = flow.quantised(file, calibration=pictures(30)).network
    plan = flow.choose_plan(network, part, multipliers=budget, bound=False)
    commands = ["read_rtlil design", "hierarchy -top top", "proc", *preparation(part.family)]
    return "\n".join(commands), to_rtlil(Surrounded(Pipeline(plan)), "top")


def nngen(file: Path) -> tuple[str, str]:
    """Verilog of NNgen's accelerator, and what reads it."""
    call = f"from benchmarks.nngen_ecp5 import _write; _write({str(file.resolve())!r})"
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", call], env={"PYTHONPATH": str(root)}, check=True, capture_output=True)
    text = Path("core.v").read_text(encoding="utf-8")
    return "read_verilog design\nhierarchy -top top", text + surrounded(text)


def _write(file: str) -> None:
    """Write core.v; in a process of its own, for NNgen numbers what it makes."""
    import nngen as ng

    from .nngen_lenet5 import graph

    out, _ = graph(Path(file), FOLDING)
    core = ng.to_veriloggen([out], "lenet5", silent=True, config={"maxi_datawidth": BUS})
    Path("core.v").write_text(core.to_verilog(), encoding="utf-8")


def surrounded(text: str) -> str:
    """A module ``top`` that does with NNgen's core what :class:`benchmarks.clock.Surrounded` does with hwgen's."""
    head = text[text.index("module lenet5") :].split(");", 1)[0]
    ports = re.findall(r"^\s*(input|output)(?: reg)?(?: \[(\d+)-1:0\])? (\w+),?$", head, re.MULTILINE)
    sides = {
        side: [(name, int(width or 1)) for way, width, name in ports if way == side and name != "CLK"]
        for side in ("input", "output")
    }
    given, seen = (sum(width for _, width in sides[side]) for side in ("input", "output"))
    connections = ["    .CLK(clk)"]
    for side, bits in (("input", "shift"), ("output", "seen")):
        at = 0
        for name, width in sides[side]:
            connections.append(f"    .{name}({bits}[{at} +: {width}])")
            at += width
    parts = [f"^held[{min(seen, at + FOLD) - 1}:{at}]" for at in range(0, seen, FOLD)]
    return "\n".join(
        [
            "\nmodule top(input clk, input i, output reg o);",
            f"  reg [{given - 1}:0] shift;\n  wire [{seen - 1}:0] seen;\n  reg [{seen - 1}:0] held;",
            f"  reg [{len(parts) - 1}:0] folded;",
            "  always @(posedge clk) begin\n    shift <= {shift, i};\n    held <= seen;",
            f"    folded <= {{{', '.join(parts)}}};\n    o <= ^folded;\n  end",
            "  lenet5 core(\n" + ",\n".join(connections) + "\n  );\nendmodule\n",
        ]
    )


if __name__ == "__main__":
    main()
