"""The comparison with ONNX Runtime: equal where it should be, and the first difference named where it is not."""

import re
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

import hwgen
from hwgen import flow
from hwgen.cli.main import cli
from hwgen.graph import golden
from tests import tiny


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    """A float model, quantised."""
    path = tiny.save(tmp_path_factory.mktemp("model") / "tiny.onnx")
    return flow.quantised(path, calibration=tiny.frames())


@pytest.fixture(scope="module")
def quantised(front, tmp_path_factory):
    """The QDQ file that is made of it."""
    folder = tmp_path_factory.mktemp("build")
    hwgen.compile(front.model, calibration=tiny.frames(), multipliers=10).write(folder / "tiny")
    return flow.quantised(folder / "tiny" / "tiny_qdq.onnx")


def perturbed(front, change):
    """``front`` with one weight of its convolution changed."""
    layers = list(front.network.layers)
    weights = layers[0].op.weights.copy()
    change(weights)
    layers[0] = replace(layers[0], op=replace(layers[0].op, weights=weights))
    return replace(front, network=replace(front.network, layers=tuple(layers)))


def test_a_file_with_integers_is_run_itself(quantised):
    result = quantised.against_onnxruntime(tiny.frames(20))
    assert result.equal
    assert result.model == "tiny_qdq.onnx"
    assert result.integers >= 20 * (64 + 8 * 8 * 4 + 3)


def test_an_input_that_nobody_reads_is_not_fed(quantised, tmp_path):
    """Though it comes first in the file."""
    model = onnx.load(quantised.model)
    inputs = [helper.make_tensor_value_info("unread", TensorProto.FLOAT, ["N", 5]), *model.graph.input]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    onnx.save(model, tmp_path / "two.onnx")
    result = flow.quantised(tmp_path / "two.onnx").against_onnxruntime(tiny.frames(3))
    assert result.equal
    assert result.model == "two.onnx"


def test_of_a_float_model_what_is_made_of_it_is_run(front):
    result = front.against_onnxruntime(tiny.frames(3))
    assert result.equal
    assert result.model == "the QDQ model that hwgen makes of tiny.onnx"


def test_the_first_difference_is_named(quantised):
    """One tap of channel 1 is four more, so that channel differs, and the layers behind it may; nothing before does."""

    def change(weights):
        weights[1, 1, 1, 0] += 4

    frames = tiny.frames(20)
    broken = perturbed(quantised, change)
    result = broken.against_onnxruntime(frames)
    first = result.differences[0]
    right = golden.run(quantised.network, golden.network_input(quantised.network, frames))
    wrong = golden.run(broken.network, golden.network_input(broken.network, frames))
    differs = right[first.tensor] != wrong[first.tensor]
    place = tuple(np.argwhere(differs)[0])
    assert first.layer == quantised.network.layers[0].name
    assert (first.frame, first.row, first.column, first.channel) == place
    assert first.channel == 1
    assert (first.golden, first.found) == (wrong[first.tensor][place], right[first.tensor][place])
    assert (first.count, first.total) == (differs.sum(), differs.size)
    words = (
        r"tensor '.*' \(layer 'conv.*'\) differs in \d+ of 5,120 integers, first in frame \d+ at row \d, column \d, "
    )
    assert re.match(words + r"channel 1: golden \d+, ONNX Runtime \d+$", str(first))


def test_the_command_ends_with_1_where_something_differs(quantised, tmp_path, monkeypatch):
    np.save(tmp_path / "frames.npy", tiny.frames(5))
    arguments = ["simulate", str(quantised.model), "--input", str(tmp_path / "frames.npy"), "--against", "onnxruntime"]
    good = CliRunner().invoke(cli, [*arguments, "-q"])
    assert good.exit_code == 0
    assert "Golden equals ONNX Runtime in all " in good.output

    def change(weights):
        weights[:, 0, 0, 0] += 30

    monkeypatch.setattr(flow, "quantised", lambda **_: perturbed(quantised, change))
    bad = CliRunner().invoke(cli, [*arguments, "-q"])
    assert bad.exit_code == 1
    assert "Different: tensor " in bad.output
    assert "So do 2 tensors behind or beside it: " in bad.output


def test_without_onnxruntime_a_line_says_what_to_install(quantised, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(hwgen.InputError, match=r"ONNX Runtime is not installed; get it with pip install"):
        quantised.against_onnxruntime(tiny.frames(1))
