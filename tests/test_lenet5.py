"""LeNet-5 from the ONNX file to hardware: the figures that the first issue asks for."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hwgen
from hwgen.flow.front import quantised
from hwgen.graph import golden
from hwgen.graph.onnx.writer import write_qdq
from hwgen.tools.verilator import available
from tests.graph.reference import session
from tests.shared import EXAMPLES, data

pytestmark = pytest.mark.slow

DIGITS = EXAMPLES / "digits"
MULTIPLIERS = 148


@pytest.fixture(scope="module")
def design():
    return hwgen.compile(EXAMPLES / "lenet5_int8.onnx", multipliers=MULTIPLIERS, calibration=DIGITS, warn=str)


@pytest.fixture(scope="module")
def folder(design, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lenet5") / "build"
    design.write(folder)
    return folder


@pytest.fixture(scope="module")
def rtl(design):
    """Five digits through RTL and golden, every layer's stream compared. The commands in README.md do so for one in
    Amaranth's simulator, which takes minutes for five."""
    pictures = [np.asarray(Image.open(path), np.float32) / 255 for path in sorted(DIGITS.glob("*_a.png"))[:5]]
    return design.simulate(np.stack(pictures)[:, None], engine="compiled" if available() else "amaranth")


def onnxruntime_outputs(model: Path, x: np.ndarray) -> np.ndarray:
    """The model's output, in an exact session of ONNX Runtime."""
    runtime = session(model)
    name = runtime.get_inputs()[0].name
    return np.concatenate([runtime.run(None, {name: x[at : at + 500]})[0] for at in range(0, len(x), 500)])


def mnist() -> tuple[np.ndarray, np.ndarray]:
    with np.load(data("mnist.npz")) as arrays:
        return arrays["x_test"].astype(np.float32)[:, None] / 255, arrays["y_test"]


@pytest.mark.parametrize("name", ["lenet5.onnx", "lenet5_int8.onnx"])
def test_all_of_mnist_equals_onnx_runtime(name, tmp_path):
    """Golden against ONNX Runtime: the example as it is, and our own QDQ file of the float one."""
    x, y = mnist()
    front = quantised(EXAMPLES / name, calibration=DIGITS, warn=str)
    model = EXAMPLES / name
    if name == "lenet5.onnx":
        model = tmp_path / "qdq.onnx"
        write_qdq(front.graph, model)
    began = time.perf_counter()
    integers = golden.run(front.network, golden.network_input(front.network, x))[front.network.output.name]
    seconds = time.perf_counter() - began
    outputs = golden.network_output(front.network, integers)
    np.testing.assert_array_equal(outputs, onnxruntime_outputs(model, x))
    assert (outputs.argmax(axis=1) == y).mean() > 0.99
    print(f"{name}: {len(x)} images in {seconds:.1f} s")


def test_148_multipliers_give_3500_cycles(design):
    assert next(row.used for row in design.fit.rows if "multipliers" in row.resource) <= MULTIPLIERS
    assert design.schedule.interval <= 3500


def test_every_stream_of_every_layer_is_bit_exact(rtl):
    assert rtl.equal
    for layer in rtl.network.layers:
        assert rtl.tensors[layer.output].shape == (5, *layer.op.output.shape)
    assert rtl.classes.tolist() == [0, 1, 2, 3, 4]


def test_cycles_are_those_predicted(design, rtl):
    assert rtl.timing.interval == design.schedule.interval
    assert rtl.timing.latency == design.schedule.latency


def run_icarus(folder: Path, verilog: str, where: Path) -> str:
    """Compile in 2005 mode with all warnings, run, and return what was printed; any warning fails."""
    if not shutil.which("iverilog"):
        pytest.skip("iverilog is not installed (Debian package iverilog)")
    for file in (*folder.glob("*.hex"), folder / "lenet5_int8_tb.v"):
        shutil.copy(file, where)
    (where / "lenet5_int8.v").write_text(verilog, encoding="utf-8")
    command = ["iverilog", "-g2005", "-Wall", "-o", "tb.vvp", "lenet5_int8.v", "lenet5_int8_tb.v"]
    compiled = subprocess.run(command, cwd=where, capture_output=True, text=True, check=True)
    assert compiled.stderr == ""
    return subprocess.run(["vvp", "tb.vvp"], cwd=where, capture_output=True, text=True, check=False).stdout


def test_the_verilog_passes_its_test_bench_at_the_predicted_pace(design, folder, tmp_path):
    printed = run_icarus(folder, (folder / "lenet5_int8.v").read_text(encoding="utf-8"), tmp_path)
    assert "PASS" in printed
    assert f"{design.schedule.interval} cycles from frame to frame" in printed


def test_a_flipped_weight_bit_fails_the_test_bench(design, folder, tmp_path):
    """The sign of one weight of the last layer, of an input that is not zero, in its memory's initial contents."""
    before = golden.run(design.network, golden.network_input(design.network, design.samples))
    strongest = int(before[design.network.layers[-1].inputs[0]].sum(axis=0).argmax())
    verilog = (folder / "lenet5_int8.v").read_text(encoding="utf-8")
    module = re.search(r"module \w*fc3_array_weights\w*\(.*?endmodule", verilog, re.DOTALL)
    word = re.search(rf"store\[{strongest}\] = 8'h([0-9a-f]{{2}});", module.group(0))
    flipped = f"store[{strongest}] = 8'h{int(word.group(1), 16) ^ 0x80:02x};"
    changed = module.group(0).replace(word.group(0), flipped)
    printed = run_icarus(folder, verilog.replace(module.group(0), changed), tmp_path)
    assert "PASS" not in printed
    assert "FAIL" in printed
