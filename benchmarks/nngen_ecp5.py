"""LeNet-5 by NNgen and by hwgen through the same Yosys and nextpnr, for an ECP5 (LFE5U-85F): LUTs, multipliers, clock.

    pip install nngen
    python -m benchmarks.nngen_ecp5
    python -m benchmarks.nngen_ecp5 --kernel 3

NNgen's LeNet-5 does not fit, so there is a second network: LeNet-5 with kernels of 3x3 in place of 5x5, with random
weights, for which NNgen makes less. Both designs stand between registers, with one pin in and one out, so that no pin
limits them. NNgen's has its DMA and an AXI port to a memory outside, which holds weights, images and what lies between
layers; hwgen's is a stream with all of that inside. Cycles are counted in simulations: of NNgen's by
`python -m benchmarks.nngen_lenet5`, with the same `--kernel`. A row takes up to an hour.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from .clock import DEVICE, FOLD, Surrounded, place_and_route, read_report
from .nngen_lenet5 import BUS, kernel_option, model

BUDGETS = (25, 148)
FOLDING = (1, 1, 1, 1)


@click.command()
@kernel_option
@click.option("--tool", type=click.Choice(["nngen", "hwgen"]), help="Only this one.  [both]")
def main(kernel: str, tool: str | None) -> None:
    """Print a line for each design."""
    print("| design | LUT4 | flip-flops | 18x18 multipliers | block RAM | MHz | minutes |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = model(kernel, folder)
        if tool != "hwgen":
            print(row(f"NNgen, {kernel}x{kernel}", *nngen(file, folder)), flush=True)
        for budget in BUDGETS if tool != "nngen" else ():
            print(row(f"hwgen@{budget}, {kernel}x{kernel}", *hwgen(file, budget)), flush=True)


def row(name: str, commands: str, text: str) -> str:
    """A line of the table, for a module ``top`` in ``text`` and the ``commands`` that read it into Yosys."""
    from hwgen.device.families.ecp5_netlist import improved
    from hwgen.device.targets import device
    from hwgen.tools.package_tool import ToolError
    from hwgen.tools.yosys import run_yosys

    began = time.monotonic()
    script = f"{commands}\nsynth_ecp5 -top top -json netlist.json\n"
    netlist = json.loads(run_yosys(script, inputs={"design": text}, outputs=["netlist.json"]).files["netlist.json"])
    if name.startswith("hwgen"):
        netlist = improved(netlist, device(DEVICE).multipliers)
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


def hwgen(file: Path, budget: int) -> tuple[str, str]:
    """RTLIL of hwgen's pipeline, and what reads it."""
    from hwgen import flow
    from hwgen.dataflow.pipeline import Pipeline
    from hwgen.device.synth import preparation
    from hwgen.device.targets import device
    from hwgen.hdl.rtlil import to_rtlil

    from .nngen_lenet5 import pictures

    part = device(DEVICE)
    network = flow.quantised(file, calibration=pictures(30)).network
    plan = flow.choose_plan(network, part, multipliers=budget, bound=False)
    commands = ["read_rtlil design", "hierarchy -top top", "proc", *preparation(part.family)]
    return "\n".join(commands), to_rtlil(Surrounded(Pipeline(plan)), "top", cells=True)


def nngen(file: Path, folder: Path) -> tuple[str, str]:
    """Verilog of NNgen's accelerator, which is made in ``folder``, and what reads it."""
    call = f"from benchmarks.nngen_ecp5 import _write; _write({str(file.resolve())!r})"
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", call], env=environment, cwd=folder, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise click.ClickException(f"NNgen failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    text = (folder / "core.v").read_text(encoding="utf-8")
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
