"""Networks whose nodes have the endless names of converters: what people and files see of them."""

import json

import onnx
import pytest

import hwgen
from hwgen import Recipe
from hwgen.dataflow.plan_reader import parse_plan
from hwgen.flow.front import cut_model, quantised
from hwgen.graph.errors import InputError, ModelError
from tests import tiny

LONG = "model/activation/Relu;model/batch_normalization/FusedBatchNormV3/ReadVariableOp;model/{}/BiasAdd/{}"


@pytest.fixture(scope="module")
def design(tmp_path_factory) -> hwgen.Design:
    model = tiny.model()
    for node in model.graph.node:
        node.name = LONG.format(node.name, "x" * 100)
    path = tmp_path_factory.mktemp("long") / "tiny.onnx"
    onnx.save(model, path)
    return hwgen.compile(path, calibration=tiny.frames(), multipliers=20)


@pytest.mark.slow
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
    assert parse_plan(design.network, json.dumps(data)).to_json() == design.plan.to_json()
    data["layers"][1]["name"] = "maxpool2"
    with pytest.raises(
        InputError,
        match="layer 'maxpool2' is not in the model; near are 'maxpool1'\nplan: layer 'maxpool1' of the model is",
    ):
        parse_plan(design.network, json.dumps(data))


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


@pytest.fixture(scope="module")
def long_model(tmp_path_factory):
    """The small model with long names everywhere, and where it lies."""
    model = tiny.model()
    new = {name: LONG.format(name, "y" * 80) for node in model.graph.node for name in node.output}
    ends = {value.name for value in model.graph.output}
    for node in model.graph.node:
        node.name = LONG.format(node.name, "x" * 100)
        for names in (node.input, node.output):
            names[:] = [new[name] if name in new and name not in ends else name for name in names]
    path = tmp_path_factory.mktemp("long") / "tiny.onnx"
    onnx.save(model, path)
    return model, path


def wide_types(path, *wide):
    front = quantised(path, tiny.frames(), recipe=Recipe(wide=wide), warn=lambda line: None)
    return {layer.name: str(front.network.tensors[layer.output].map.type) for layer in front.network.layers}


def test_a_layer_s_own_name_gives_its_result_16_bits(long_model):
    _, path = long_model
    assert wide_types(path) == {"conv1": "u8", "maxpool1": "u8", "fc1": "u8"}
    by_layer = wide_types(path, "conv1")
    assert by_layer["conv1"] == "u16"
    assert by_layer["fc1"] == "u8"
    tensor = long_model[0].graph.node[1].output[0]  # that of the Relu, which the layer takes in
    node = long_model[0].graph.node[0].name
    assert wide_types(path, tensor) == wide_types(path, node) == by_layer


def test_an_unknown_name_for_16_bits_is_refused_with_near_ones(long_model):
    with pytest.raises(InputError, match=r"^--wide conv2: no activation .* nor a layer; 16 bits can .* 'conv1'"):
        wide_types(long_model[1], "conv2")


def test_the_network_ends_at_a_layer_by_its_own_name(long_model):
    model, path = long_model
    pooled = next(node.output[0] for node in model.graph.node if node.op_type == "MaxPool")
    assert cut_model(path, outputs=["maxpool1"]).results == (pooled,)
    assert cut_model(path, outputs=[pooled]).results == (pooled,)
    network = quantised(path, tiny.frames(), outputs=["maxpool1"], warn=lambda line: None).network
    assert [layer.name for layer in network.layers] == ["conv1", "maxpool1"]


def test_an_unknown_end_is_refused_with_near_tensors_and_layers(long_model):
    with pytest.raises(
        InputError, match=r"^--outputs maxpool2: the model computes no tensor .*; near layers are 'maxpool1'"
    ):
        cut_model(long_model[1], outputs=["maxpool2"])


def test_errors_of_the_reader_name_nodes_briefly(long_model, tmp_path):
    model = onnx.ModelProto.FromString(long_model[0].SerializeToString())
    for node in model.graph.node:
        if node.op_type == "MaxPool":
            node.op_type = "Nonsense"
    onnx.save(model, tmp_path / "wrong.onnx")
    with pytest.raises(ModelError) as caught:
        cut_model(tmp_path / "wrong.onnx")
    line = caught.value.problems[0]
    assert line.startswith("node 'model/activation/Relu;...xxxxxxx")
    assert len(line) < 130


def test_a_plan_or_trace_of_an_unknown_layer_names_near_ones(design):
    data = json.loads(design.plan.to_json())
    data["layers"][0]["name"] = "conv2"
    with pytest.raises(InputError, match="layer 'conv2' is not in the model; near are 'conv1'"):
        parse_plan(design.network, json.dumps(data))
