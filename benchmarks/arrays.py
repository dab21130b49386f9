"""What a product takes in an array of 128, by Yosys: trees beside cascades, and the convolution around them.

    python -m benchmarks.arrays [--devices xck26 xc7z020 lfe5u-85f]

A 3x3 convolution of 32x32x16 to 32, 16 elements by 8 output channels in a cycle, weights in ROM: any from -127 to 127,
as symmetric quantisers give them, but on the average twice as large as theirs. "As placed" is an array after what is
done to the netlist between Yosys and the router: registers move into blocks, and those that many read are copied. Then
the first convolution of LeNet-5, all products of a window at once, made of adders that stand for its weights.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from amaranth.lib import wiring

import hwgen
from hwgen.blocks.array.arrays import CONSTANT, TREE
from hwgen.blocks.array.multiplier import IN_LUTS, PAIR, SINGLE
from hwgen.blocks.mac.conv import Conv
from hwgen.blocks.mac.mac import MacUnit
from hwgen.blocks.mac.mac_folding import MacFolding
from hwgen.device.mapping import needs
from hwgen.device.needs import Needs
from hwgen.device.synth import count, script, synthesise
from hwgen.device.targets import Device, device
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import S8, FeatureMap, Quantization
from hwgen.hdl.rtlil import to_netlist
from hwgen.memory.weights import LUTS
from hwgen.tools.yosys import run_yosys
from tests.blocks.cases import site

from .networks import EXAMPLES

DEVICES = ("xck26", "xc7z020", "lfe5u-85f")
SAME = Window((3, 3), pads=(1, 1, 1, 1))


def units(target: Device) -> Iterator[MacUnit]:
    """The convolution in every way that the device's family has."""
    made = site("Conv", FeatureMap(32, 32, 16, S8), SAME, 32, Quantization(S8, 0.05, -4))
    weight = replace(made.weight, values=np.maximum(made.weight.values, -127))
    op = Conv.from_site(replace(made, weight=weight))
    for array in (TREE, *target.family.slices):
        for products in (PAIR, SINGLE, IN_LUTS) if array == TREE else (PAIR, SINGLE):
            unit = MacUnit(op, MacFolding("ring", 16, 8, 16, 1, products=products, array=array))
            if not unit.problems():
                yield unit


def constant() -> MacUnit:
    """The first convolution of LeNet-5 without multipliers."""
    op = hwgen.compile(EXAMPLES / "lenet5_int8.onnx", multipliers=148).network.layers[0].op
    assert isinstance(op, Conv)
    return MacUnit(op, MacFolding("sliding", 25, 6, 1, 6, in_luts=True, products=IN_LUTS, array=CONSTANT))


def synthesised(component: wiring.Component, target: Device) -> Needs:
    """What Yosys makes of a component."""
    text = to_netlist(component, "top").with_cells().with_contents().text
    return count(synthesise(text, "top", target), target)


def placed(component: wiring.Component, target: Device) -> Needs | None:
    """What of a component goes to the router; None where that is Yosys' netlist as it is, or no router is known."""
    flow = target.family.flow
    if flow is None or flow.improved is None:
        return None
    text = to_netlist(component, "top").with_cells().with_contents().text
    commands = script(text, "top", target) + "write_json netlist.json\n"
    netlist = json.loads(run_yosys(commands, inputs={"design": text}, outputs=["netlist.json"]).files["netlist.json"])
    cells = flow.improved(netlist, target.multipliers)["modules"]["top"]["cells"].values()
    return count(Counter(cell["type"] for cell in cells), target)


def row(name: str, needed: Needs, products: int | None = None) -> str:
    """A line of the table, with what a product takes of it."""
    each = f"{needed.luts / products:8.1f}{needed.ffs / products:8.1f}" if products else ""
    return f"{name:<34}{needed.luts:>8,}{needed.ffs:>8,}{needed.dsps:>6,}{needed.brams:>6,}{each}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", nargs="+", default=DEVICES)
    for target in map(device, parser.parse_args().devices):
        print(f"\n{target.name:<34}{'LUT':>8}{'FF':>8}{'DSP':>6}{'BRAM':>6}{'LUT/p':>8}{'FF/p':>8}")
        for unit in (*units(target), constant()):
            name = f"{unit.folding.array}, {unit.folding.products} at once"
            print(row(f"array: {name}", synthesised(unit.array.component(), target), unit.multipliers), flush=True)
            if moved := placed(unit.array.component(), target):
                print(row("  as placed", moved, unit.multipliers), flush=True)
            elsewhere = replace(unit, folding=replace(unit.folding, weights=LUTS))
            for kept in (unit, *([elsewhere] if not elsewhere.problems() else [])):
                what = "convolution" if kept is unit else "weights in LUTs"
                print(row(f"  {what}", synthesised(kept.block(), target)), flush=True)
                print(row("  estimated", needs(kept.cost, target)), flush=True)


if __name__ == "__main__":
    main()
