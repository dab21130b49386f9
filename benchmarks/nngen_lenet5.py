"""LeNet-5 by NNgen and by hwgen, side by side: multipliers, cycles an image, seconds to simulate the hardware.

    pip install nngen && apt-get install verilator iverilog
    python -m benchmarks.nngen_lenet5

Both take examples/lenet5.onnx with 8-bit weights and activations, and simulate the Verilog that they write: NNgen
(https://pypi.org/project/nngen) with Veriloggen's model of an AXI memory around it, under Verilator or Icarus, started
anew for every image by its registers; hwgen in its compiled engine, which is Verilator, too. Results are compared with
the tool's own integer model. Seconds to generate and compile are apart.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
MODEL = EXAMPLES / "lenet5.onnx"
CHUNK, BUS = 64, 32  # alignment of memory areas in bytes, bits of the AXI bus
#: NNgen's parallelism: input channels, output channels, kernels' columns and rows at a time.
FOLDINGS = ((1, 1, 1, 1), (4, 4, 1, 1))
BUDGETS = (25, 148)


@dataclass(frozen=True)
class Measured:
    multipliers: str
    cycles: int
    wrong: int
    compile: float
    run: float
    images: int

    def row(self, tool: str, simulator: str) -> str:
        speed = self.run / self.images
        cells = (tool, simulator, self.multipliers, f"{self.cycles:,}", f"{self.wrong}", f"{self.compile:.1f}")
        return "| " + " | ".join((*cells, f"{self.images}", f"{self.run:.2f}", f"{speed * 1e3:.2f}")) + " |"


#: Channels of the convolutions, and of the layers behind them.
CHANNELS, FULL = (6, 16), (120, 84, 10)

kernel_option = click.option(
    "--kernel", type=click.Choice(["5", "3"]), default="5", show_default=True, help="3: another LeNet-5, untrained."
)


@click.command()
@kernel_option
@click.option("--images", default=20, show_default=True, help="For NNgen; hwgen gets 100 times as many.")
@click.option("--simulator", type=click.Choice(["verilator", "iverilog"]), multiple=True, help="For NNgen.  [both]")
def main(kernel: str, images: int, simulator: tuple[str, ...]) -> None:
    """Print a line for each tool and folding."""
    with tempfile.TemporaryDirectory() as folder:
        _table(model(kernel, Path(folder)), images, simulator)


def _table(file: Path, images: int, simulator: tuple[str, ...]) -> None:
    print(
        "| tool | simulator | multipliers | cycles an image | results that differ from its own model | compile, s "
        "| images | simulate, s | ms an image |\n|---|---|---|---|---|---|---|---|---|"
    )
    for folding in FOLDINGS:
        for kind in simulator or ("verilator", "iverilog"):
            print(nngen(file, folding, kind, images).row("NNgen", kind), flush=True)
    for budget in BUDGETS:
        print(hwgen(file, budget, 100 * images).row("hwgen", "verilator"), flush=True)


def model(kernel: str, folder: Path) -> Path:
    """LeNet-5 with kernels of ``"5"`` times 5, or one of ``"3"`` times 3 that is written to ``folder``."""
    return MODEL if kernel == "5" else _small(folder / "lenet5_3x3.onnx").resolve()


def _small(file: Path) -> Path:
    """LeNet-5 with kernels of 3x3 and random weights, written to ``file``."""
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
    then("Flatten", axis=1)  # NNgen wants it said
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


def pictures(count: int) -> np.ndarray:
    """The digits of examples/digits again and again: float32 [N, 1, 28, 28], 0 to 1."""
    files = sorted((EXAMPLES / "digits").glob("*.png"))
    digits = [np.asarray(Image.open(file).convert("L"), np.float32) / 255 for file in files]
    return np.stack([digits[n % len(digits)] for n in range(count)])[:, None]


# hwgen


def hwgen(file: Path, budget: int, images: int) -> Measured:
    from hwgen import flow
    from hwgen.dataflow.search.search import search
    from hwgen.graph import golden
    from hwgen.simulate.compiled import CompiledPlan
    from hwgen.simulate.feed import Feed

    network = flow.quantised(file, calibration=pictures(30)).network
    integers = golden.network_input(network, pictures(images))
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        began = time.perf_counter()
        compiled = CompiledPlan(search(network, multipliers=budget))
        compiled.design.load()
        made = time.perf_counter()
        tensors, _, (given,), _ = compiled.run(Feed.of(compiled.plan, integers))
        ended = time.perf_counter()
    want = golden.run(network, integers)
    wrong = sum(int(np.count_nonzero(tensors[name] != values)) for name, values in want.items())
    ends = given.reshape(images, -1)[:, -1]
    products = sum(layer.cost.multipliers for layer in compiled.plan.layers)
    return Measured(str(products), int(ends[-1] - ends[-2]), wrong, made - began, ended - made, images)


# NNgen


def nngen(file: Path, folding: tuple[int, int, int, int], simulator: str, images: int) -> Measured:
    """Once with one image and once with more: the difference is what the others take. Each in a process of its own, for
    NNgen numbers what it makes."""
    one, more = (_in_a_process(file, folding, simulator, count) for count in (1, 1 + images))
    run = more["simulated"] - one["simulated"]
    wrong = one["wrong"] + more["wrong"]
    made = one["made"] + one["simulated"] - run / images
    return Measured(f"{np.prod(folding)} a layer", more["cycles"], wrong, made, run, images)


def _in_a_process(file: Path, folding: tuple[int, int, int, int], simulator: str, images: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        call = f"from benchmarks.nngen_lenet5 import _nngen; _nngen({str(file)!r}, {folding}, {simulator!r}, {images})"
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(
            [sys.executable, "-c", call], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise click.ClickException(f"NNgen failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
        return json.loads(done.stdout.splitlines()[-1])


def _nngen(file: str, folding: tuple[int, int, int, int], simulator: str, images: int) -> None:
    """Print as JSON what NNgen's accelerator does with ``images`` images."""
    import nngen as ng

    began = time.perf_counter()
    out, act = graph(Path(file), folding)
    pixels = np.round(pictures(1).transpose(0, 2, 3, 1) * 127).astype(np.int64)
    (want,) = ng.eval([out], **{act.name: pixels})
    core = ng.to_veriloggen([out], "lenet5", silent=True, config={"maxi_datawidth": BUS})
    bench = _bench(ng, core, out, act, pixels, images, max(folding))
    made = time.perf_counter()
    said = bench(simulator)
    ended = time.perf_counter()
    numbers = {name: [int(n) for n in _after(said, name)] for name in ("cycles", "result")}
    results = np.array(numbers["result"]).reshape(images, -1)
    assert len(numbers["cycles"]) == images, said
    wrong = int((results != np.asarray(want).ravel()).any(axis=1).sum())
    facts = {"cycles": numbers["cycles"][-1], "wrong": wrong, "made": made - began, "simulated": ended - made}
    print(json.dumps(facts))


def graph(file: Path, folding: tuple[int, int, int, int]):
    """NNgen's quantised graph of a network: its output and its input."""
    import nngen as ng
    import onnx

    model = onnx.load(file)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, "model.onnx")
    kinds = dict.fromkeys(("placeholder", "variable", "constant", "operator", "scale"), ng.int8) | {"bias": ng.int32}
    outputs, inputs, _, _, operators = ng.from_onnx(
        "model.onnx", value_dtypes={}, **{f"default_{kind}_dtype": dtype for kind, dtype in kinds.items()}
    )
    (out,), (act,) = outputs.values(), inputs.values()
    ng.quantize(outputs, {act.name: 127.0})
    for operator in operators.values():
        if isinstance(operator, ng.conv2d):
            operator.attribute(**dict(zip(("par_ich", "par_och", "par_col", "par_row"), folding, strict=True)))
        elif isinstance(operator, ng.matmul):
            operator.attribute(par_ich=folding[0], par_och=folding[1])
        elif isinstance(operator, ng.max_pool_serial):
            operator.attribute(par=folding[1])
    return out, act


def _after(text: str, word: str) -> list[str]:
    return [line.split()[1] for line in text.splitlines() if line.split()[:1] == [word]]


def _bench(ng, core, out, act, pixels: np.ndarray, images: int, lanes: int):
    """A test bench: memory with the image and the weights behind the AXI port, and a thread that starts the core
    ``images`` times and prints cycles and results. Returns what simulates it."""
    import veriloggen as vg
    from veriloggen import thread
    from veriloggen.types import axi

    weights = ng.export_ndarray([out], CHUNK)
    first_weight = -(-(act.addr + act.memory_size) // CHUNK) * CHUNK
    scratch = -(-(first_weight + len(weights)) // CHUNK) * CHUNK
    contents = np.zeros((scratch + (1 << 22)) * 8 // BUS, np.int64)
    axi.set_memory(contents, pixels, BUS, 8, act.addr, max(BUS // 8, lanes))
    axi.set_memory(contents, weights, BUS, 8, first_weight)

    m = vg.Module("test")
    ports = (m.copy_params(core), m.copy_sim_ports(core))[1]
    clock, resetn = ports["CLK"], ports["RESETN"]
    reset = m.Wire("RST")
    reset.assign(vg.Not(resetn))
    store = axi.AxiMemoryModel(
        m, "memory", clock, reset, datawidth=BUS, memimg=contents, memimg_name="memory.hex", memimg_datawidth=BUS
    )
    store.connect(ports, "maxi")
    registers = thread.AXIMLite(m, "_saxi", clock, reset, noio=True)
    registers.connect(ports, "saxi")
    now = m.Reg("now", 32, initval=0)
    vg.Seq(m, "counting", clock, reset)(now.inc())
    classes, where = out.shape[-1], out.addr

    def control():
        for _ in range(100):
            pass
        ng.sim.set_global_addrs(registers, scratch)
        for _ in range(images):
            began = now.value
            ng.sim.start(registers)
            ng.sim.wait(registers)
            print("cycles %d" % (now.value - began))  # noqa: UP031
            for n in range(classes):
                print("result %d" % store.read_word(n, where, 8))  # noqa: UP031
        thread.finish()

    thread.Thread(m, "control", clock, reset, control).start()
    m.Instance(core, "core", params=m.connect_params(core), ports=m.connect_ports(core))
    vg.simulation.setup_clock(m, clock, hperiod=5)
    vg.simulation.setup_reset(m, resetn, m.make_reset(), period=100, polarity="low")
    return lambda simulator: vg.simulation.Simulator(m, sim=simulator).run(outputfile=f"test.{simulator}")


if __name__ == "__main__":
    main()
