"""Bad files end in one clear line per problem."""

import contextlib
import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwgen import flow
from hwgen.graph.check import check_graph
from hwgen.graph.errors import InputError, ModelError
from hwgen.graph.onnx.reader import read_model
from tests.graph.models import build, lenet_like, node, save

WEIGHT = {"w": np.ones((2, 1, 3, 3), np.float32)}


def problems(model, folder, **options):
    with pytest.raises(ModelError) as caught:
        read_model(save(model, folder), **options)
    return caught.value.problems


def test_a_good_model(tmp_path):
    graph = read_model(save(lenet_like(), tmp_path, "lenet.onnx"))
    check_graph(graph)
    assert graph.name == "lenet"
    assert graph.tensors["x"].shape == (1, 1, 12, 12)
    assert graph.tensors["y"].shape == (1, 10)
    assert "c1 = Conv(x, w1, b1) auto_pad=NOTSET dilations=None group=1" in str(graph)


def test_not_onnx(tmp_path):
    path = tmp_path / "notes.onnx"
    path.write_text("Dear diary, today I trained a network.")
    with pytest.raises(ModelError) as caught:
        read_model(path)
    assert caught.value.problems == (f"{str(path)!r} is not an ONNX file; give a model exported to .onnx",)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("net.pt", "torch.onnx.export"),
        ("net.PTH", "torch.onnx.export"),
        ("net.tflite", "tf2onnx.convert --tflite"),
        ("net.h5", "tf2onnx.convert --keras"),
        ("net.keras", "tf2onnx.convert --keras"),
        ("net.pb", "tf2onnx.convert --saved-model"),
    ],
)
def test_files_of_other_frameworks_name_the_way_to_onnx(name, way, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"PK\x03\x04 or TFL3")
    with pytest.raises(ModelError, match="is not an ONNX file; .*" + re.escape(way)):
        read_model(path)


def test_missing(tmp_path):
    with pytest.raises(ModelError, match=r"cannot read '.*absent.onnx': No such file or directory; check the path"):
        read_model(tmp_path / "absent.onnx")


@pytest.mark.parametrize("keep", [20, 500, 0.5, 0.99])
def test_truncated(tmp_path, keep):
    data = lenet_like().SerializeToString()
    path = tmp_path / "half.onnx"
    path.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    with pytest.raises(ModelError) as caught:
        read_model(path)
    assert caught.value.problems == (f"{str(path)!r} is a truncated or corrupted ONNX file; copy or export it again",)


def test_unknown_operators_are_all_listed(tmp_path):
    nodes = [
        node("Det", "x", "a"),
        helper.make_node("Fancy", ["a"], ["b"], name="n2", domain="com.acme"),
        node("Relu", "b", "y"),
    ]
    lines = problems(build(nodes, "y", {}), tmp_path)
    assert lines[:2] == (
        "node 'a_node': operator Det is not supported",
        "node 'n2': operator com.acme.Fancy is not supported",
    )
    assert lines[2].startswith("supported operators are Abs, Acos, Acosh, Add, ")
    assert lines[2].endswith("; rewrite the others, or end the network before them with --outputs")


def test_training_mode_names_the_way_out(tmp_path):
    parameters = dict.fromkeys(("scale", "bias", "mean", "variance"), np.ones(1, np.float32))
    normalization = node("BatchNormalization", "x scale bias mean variance", "y", training_mode=1)
    assert problems(build([normalization], "y", parameters, opset=15), tmp_path) == (
        "node 'y_node' (BatchNormalization): its attribute 'training_mode' is 1; only 0 is supported: "
        "export the model for inference, after model.eval()",
    )


def test_several_inputs_name_the_way_out(tmp_path):
    model = build([node("Add", "x second", "y")], "y", {})
    model.graph.input.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, ["N", 1, 8, 8]))
    with pytest.raises(ModelError) as caught:
        flow.quantised(save(model, tmp_path), warn=lambda line: None)
    assert caught.value.problems == (
        "the model has 2 inputs; one is supported: make constants of the others when exporting, or join them into one",
    )


def test_dynamic_shape(tmp_path):
    model = build([node("Relu", "x", "y")], "y", {}, ("x", ("N", 3, "height", "width")))
    assert problems(model, tmp_path) == (
        "input 'x' has the dynamic shape N,3,height,width; give numbers with --input-shape x=1,3,height,width",
    )
    graph = read_model(save(model, tmp_path), {"x": (1, 3, 8, 9)})
    assert graph.tensors["y"].shape == (1, 3, 8, 9)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"z": (1, 3, 8, 9)}, "no input is named 'z'; the model has 'x'"),
        ({"x": (1, 4, 8, 9)}, "--input-shape x=1,4,8,9 contradicts the model, which has N,3,height,width"),
        ({"x": (1, 3)}, "--input-shape x=1,3 contradicts the model"),
    ],
)
def test_input_shape_that_does_not_fit(tmp_path, shape, words):
    model = build([node("Relu", "x", "y")], "y", {}, ("x", ("N", 3, "height", "width")))
    with pytest.raises(InputError, match=re.escape(words)):
        read_model(save(model, tmp_path), shape)


def test_fixed_batch(tmp_path):
    model = build([node("Relu", "x", "y")], "y", {}, ("x", (32, 5)))
    assert problems(model, tmp_path) == (
        "input 'x' has a batch of 32, but one frame is processed at a time; set it with --input-shape x=1,5",
    )


def test_nan_weight(tmp_path):
    weight = np.ones((2, 1, 3, 3), np.float32)
    weight[1, 0, 2, 1] = np.nan
    model = build([node("Conv", "x w", "y")], "y", {"w": weight})
    assert problems(model, tmp_path) == (
        "constant 'w' holds 1 values that are NaN or infinite, the first at [1, 0, 2, 1]; "
        "the training diverged or the file is damaged: export finite weights",
    )


def test_infinite_clip_bound_is_no_bound(tmp_path):
    bounds = {"low": np.float32(0), "high": np.float32(np.inf)}
    read_model(save(build([node("Clip", "x low high", "y")], "y", bounds), tmp_path))


def test_opset_out_of_range(tmp_path):
    lines = problems(build([node("Relu", "x", "y")], "y", {}, opset=6), tmp_path)
    assert lines[0].startswith("the model has opset 6; 7 to ")
    model = build([node("Relu", "x", "y")], "y", {})
    model.opset_import[0].version = 99
    assert "the model has opset 99" in problems(model, tmp_path)[0]


@pytest.mark.parametrize(
    ("nodes", "constants", "words"),
    [
        (
            [node("Conv", "x w", "y", group=2)],
            WEIGHT,
            "node 'y_node' (Conv): weights of shape [2, 1, 3, 3] with group 2",
        ),
        ([node("Conv", "x w", "y", pads=[1, 1])], WEIGHT, "(Conv): pads [1, 1] on 2 spatial dimensions"),
        ([node("Conv", "x w", "y", colour=2)], WEIGHT, "(Conv): its attribute 'colour' is not supported"),
        ([node("Conv", "x w", "y", group=2.0)], WEIGHT, "'group' must be of kind int, not float"),
        ([node("Conv", "x", "y")], {}, "(Conv): 1 operands; 2 to 3 are allowed"),
        ([node("MaxPool", "x", "y")], {}, "(MaxPool): its attribute 'kernel_shape' is missing"),
        ([node("MaxPool", "x", "y", kernel_shape=[9, 9])], {}, "a window of 9x9 does not fit into 8x8"),
        ([node("Relu", "z", "y")], {}, "node 'y_node' (Relu): reads 'z', which nothing before it writes"),
        ([node("Relu", "x", "z")], {}, "output 'y' is written by no node"),
        ([node("Relu", "x", "y"), node("Relu", "x", "y")], {}, "writes 'y', which exists already"),
        ([node("Dropout", "x", "y mask"), node("Add", "y mask", "z")], {}, "its result 'mask' is used"),
        ([node("Reshape", "x s", "y")], {"s": np.array([5, -1])}, "shape [1, 1, 8, 8] cannot become [5, -1]"),
        ([node("Transpose", "x", "y", perm=[0, 1])], {}, "perm [0, 1] on shape [1, 1, 8, 8]"),
    ],
)
def test_bad_nodes(tmp_path, nodes, constants, words):
    assert any(words in line for line in problems(build(nodes, "y", constants), tmp_path))


def test_problems_are_reported_together(tmp_path):
    nodes = [node("Det", "x", "s"), node("Conv", "s w", "a", colour=1), node("MaxPool", "a", "y")]
    assert len(problems(build(nodes, "y", WEIGHT, ("x", ("N", 1, "h", 8))), tmp_path)) == 5


def external(location, offset=0, length=8):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    model = build([node("Add", "x w", "y")], "y", {}, ("x", ("N", 2)))
    model.graph.initializer.append(tensor)
    return model


def write_raw(model, folder):
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_beside_the_model(tmp_path):
    (tmp_path / "weights.bin").write_bytes(np.array([1, 2, 3], "<f4").tobytes())
    graph = read_model(write_raw(external("weights.bin", 4), tmp_path))
    assert graph.constants["w"].tolist() == [2, 3]


@pytest.mark.parametrize(
    ("location", "offset", "words"),
    [
        ("../secret.bin", 0, "external data '../secret.bin' lies outside the model's folder"),
        ("/etc/passwd", 0, "external data '/etc/passwd' lies outside the model's folder"),
        ("link.bin", 0, "external data 'link.bin' lies outside the model's folder"),
        ("", 0, "external data '' lies outside the model's folder"),
        ("weights.bin", 8, "external data 'weights.bin' does not hold 8 bytes at 8"),
        ("absent.bin", 0, "cannot read its external data 'absent.bin'"),
    ],
)
def test_external_data_elsewhere(tmp_path, location, offset, words):
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "weights.bin").write_bytes(bytes(12))
    with pytest.raises(ModelError, match=re.escape(words)):
        read_model(write_raw(external(location, offset), folder))


def test_tensor_data_that_is_not_all_there(tmp_path):
    model = build([node("Conv", "x w", "y")], "y", WEIGHT)
    model.graph.initializer[0].dims[0] = 1 << 40
    assert "initializer 'w': a tensor of shape" in problems(model, tmp_path)[0]
    model.graph.initializer[0].dims[0] = 3
    assert "72 bytes of data for shape [3, 1, 3, 3], which takes 108" in problems(model, tmp_path)[0]


def test_old_forms_become_new_ones(tmp_path):
    nodes = [
        node("Clip", "x", "a", min=0.0, max=6.0),
        node("Unsqueeze", "a", "b", axes=[0]),
        node("Squeeze", "b", "y", axes=[0]),
    ]
    graph = read_model(save(build(nodes, "y", {}, opset=9), tmp_path))
    check_graph(graph)
    assert [len(n.inputs) for n in graph.nodes] == [3, 2, 2]
    assert float(graph.constants["a/max"]) == 6


def test_old_softmax_over_several_dimensions_is_refused(tmp_path):
    model = build([node("Softmax", "x", "y")], "y", {}, opset=11)
    assert "over several dimensions of [1, 1, 8, 8]; export with opset 13" in problems(model, tmp_path)[0]


def test_constants_in_all_their_forms(tmp_path):
    tensor = numpy_helper.from_array(np.float32([1, 2]))
    forms = {"value": tensor, "value_float": 2.5, "value_floats": [1.0, 2.0], "value_int": 3, "value_ints": [4, 5]}
    for name, value in forms.items():
        nodes = [helper.make_node("Constant", [], ["c"], **{name: value}), node("Identity", "c", "y")]
        read_model(save(build(nodes, "y", {}), tmp_path))
    nodes = [helper.make_node("Constant", [], ["y"], value_string="hello")]
    assert "its 'value_string' is not supported" in problems(build(nodes, "y", {}), tmp_path)[0]


def mutants(data, count, seed):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        mutant = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(len(mutant)))
            kind = rng.integers(3)
            if kind == 0:
                mutant[place] = rng.integers(256)
            elif kind == 1:
                del mutant[place : place + int(rng.integers(1, 20))]
            else:
                mutant[place:place] = rng.bytes(int(rng.integers(1, 9)))
        yield bytes(mutant)


def test_mutated_files_never_crash(tmp_path):
    model = lenet_like()
    for tensor in model.graph.initializer:  # mutations should hit structure, not only weights
        if np.prod(tensor.dims) > 60:
            tensor.raw_data = bytes(len(tensor.raw_data))
    path = tmp_path / "mutant.onnx"
    start = onnx.ModelProto.FromString(model.SerializeToString())
    start.graph.ClearField("doc_string")
    for mutant in mutants(start.SerializeToString(), 400, 1):
        path.write_bytes(mutant)
        with contextlib.suppress(ModelError, InputError):  # errors made for users; any other fails the test
            check_graph(read_model(path))


def with_functions(*bodies):
    """A model whose one node calls the first of functions f0, f1, ...: lists of operators, one after the other."""
    model = build([node("f0", "x", "y", domain="mine")], "y", {}, ("x", (1, 5)))
    model.opset_import.append(helper.make_opsetid("mine", 1))
    for index, ops in enumerate(bodies):
        tensors = ["a", *(f"t{i}" for i in range(1, len(ops))), "b"]
        nodes = [
            helper.make_node(op, [tensors[i]], [tensors[i + 1]], domain="mine" if op[0] == "f" else "")
            for i, op in enumerate(ops)
        ]
        imports = [helper.make_opsetid("", 13), helper.make_opsetid("mine", 1)]
        model.functions.append(helper.make_function("mine", f"f{index}", ["a"], ["b"], nodes, imports))
    return model


def test_functions_are_unfolded(tmp_path):
    graph = read_model(write_raw(with_functions(["Relu", "f1"], ["Sigmoid", "Tanh"]), tmp_path))
    assert [n.op for n in graph.nodes] == ["Relu", "Sigmoid", "Tanh"]


@pytest.mark.parametrize(
    "bodies", [[["f0"]], [["f1"], ["f0"]], [[f"f{i + 1}"] * 8 for i in range(30)] + [["Relu"]]], ids=len
)
def test_functions_without_end_are_refused(bodies, tmp_path):
    with pytest.raises(ModelError, match=r"the functions of the model unfold to \d+ nodes; at most 100000"):
        read_model(write_raw(with_functions(*bodies), tmp_path))


def test_initializers_among_the_inputs_are_constants_of_any_type(tmp_path):
    model = build(
        [node("Conv", "x w", "c"), node("Reshape", "c shape", "r"), node("Relu", "r", "y"), node("Exp", "y", "z")],
        "z",
        WEIGHT | {"shape": np.array([0, -1]), "unread": np.array([7]), "late": np.array([0], np.int32)},
    )
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    model.graph.node.append(node("Gather", "z late", "picked"))
    assert read_model(save(model, tmp_path)).inputs == ("x",)
    assert read_model(save(model, tmp_path), outputs=["y"]).inputs == ("x",)


def test_an_input_that_nobody_reads_needs_no_frames(tmp_path):
    model = build([node("Conv", "x w", "y")], "y", WEIGHT)
    model.graph.input.append(helper.make_tensor_value_info("size", TensorProto.INT64, [2]))
    assert read_model(save(model, tmp_path)).inputs == ("x",)


def test_a_zero_point_that_is_no_integer_is_refused(tmp_path):
    nodes = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s", "y")]
    path = save(build(nodes, "y", {"s": np.float32(0.5), "z": np.float32(0)}), tmp_path)
    with pytest.raises(
        ModelError, match=r"node 'q_node' \(QuantizeLinear\): a zero point of type float32; numbers are"
    ):
        read_model(path, {"x": (1, 1, 8, 8)})
