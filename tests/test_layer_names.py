"""Networks whose nodes have the endless names of converters: what people and files see of them."""

import json

import onnx
import pytest

import hwgen
from hwgen.dataflow.plan import Plan
from hwgen.graph.errors import InputError

from . import tiny

LONG = "model/activation/Relu;model/batch_normalization/FusedBatchNormV3/ReadVariableOp;model/{}/BiasAdd/{}"


@pytest.fixture(scope="module")
def design(tmp_path_factory) -> hwgen.Design:
    model = tiny.model()
    for node in model.graph.node:
        node.name = LONG.format(node.name, "x" * 100)
    path = tmp_path_factory.mktemp("long") / "tiny.onnx"
    onnx.save(model, path)
    return hwgen.compile(path, calibration=tiny.frames(), multipliers=20)


def test_files_have_short_names_and_json_both(design):
    names = ["conv1", "maxpool1", "fc1"]
    for data in (design.report.data, json.loads(design.plan.to_json())):
        assert [layer["name"] for layer in data["layers"]] == names
        assert all(layer["node"].endswith("x" * 100) for layer in data["layers"])
    for text in (str(design.report), design.activity.drawn()):
        assert "BatchNorm" not in text
        assert "fc1" in text
    assert "fc1" in design.verilog.text
    assert "FusedBatchNormV3" not in design.verilog.text


def test_a_plan_may_have_the_model_s_names_as_older_ones_do(design):
    data = json.loads(design.plan.to_json())
    for layer in data["layers"]:
        layer["name"] = layer.pop("node")
    assert Plan.from_json(design.network, json.dumps(data)).to_json() == design.plan.to_json()
    data["layers"][1]["name"] = "maxpool2"
    with pytest.raises(
        InputError, match="layer 'maxpool2' is not in the model\nplan: layer 'maxpool1' of the model is"
    ):
        Plan.from_json(design.network, json.dumps(data))


def test_a_layer_to_trace_may_be_named_either_way(design):
    network = design.network
    assert [network.own_name(layer.node) for layer in network.layers] == [layer.name for layer in network.layers]
    assert network.own_name("fc1") == "fc1"
    assert network.own_name("unknown") == "unknown"


def test_a_repl_shows_a_screenful_and_a_notebook_the_page(design):
    for shown in (design, design.plan, design.network, design.report):
        text = repr(shown)
        assert len(text.splitlines()) <= 25
        assert len(text) < 3100
    assert all(name in repr(design) for name in ("conv1", "maxpool1", "fc1"))
    assert "&lt;svg" in design._repr_html_()
