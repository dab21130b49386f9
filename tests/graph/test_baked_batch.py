"""A model exported for four frames, asked for one: its shapes follow, or the node that does not let them is named."""

import numpy as np
import pytest

from hwgen.graph.errors import ModelError
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from hwgen.graph.semantics.float_model import run_float
from tests.graph.models import build, node, save
from tests.graph.reference import session

RNG = np.random.default_rng(0)
FIRST = node("Conv", "x w", "a")
W = RNG.normal(0, 1, (4, 2, 1, 1)).astype(np.float32)
DENSE = RNG.normal(0, 1, (36, 3)).astype(np.float32)


def sizes(*values):
    return np.array(values, np.int64)


def model(nodes, **constants):
    return build([FIRST, *nodes], nodes[-1].output[0], {"w": W} | constants, ("x", (4, 2, 3, 3)))


FLAT = [node("Reshape", "a s", "f"), node("MatMul", "f d", "y")]
RESIZE = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
MODELS = {
    "[4, -1]": model(FLAT, s=sizes(4, -1), d=DENSE),
    "[4, 36]": model(FLAT, s=sizes(4, 36), d=DENSE),
    "[-1, 36]": model(FLAT, s=sizes(-1, 36), d=DENSE),
    "sizes of a Resize": model([node("Resize", "a   s", "y", **RESIZE)], s=sizes(4, 4, 6, 6)),
    "Expand": model(
        [node("GlobalAveragePool", "a", "g"), node("Expand", "g s", "e"), node("Add", "a e", "y")], s=sizes(4, 4, 3, 3)
    ),
    "the same constant four times": model(
        [node("Concat", "a k", "y", axis=1)], k=np.repeat(RNG.normal(0, 1, (1, 2, 3, 3)), 4, 0).astype(np.float32)
    ),
    "channels in the batch": model(
        [
            node("Reshape", "a s", "r"),
            node("Transpose", "r", "t", perm=[1, 0, 2]),
            node("Reshape", "t u", "v"),
            node("Gather", "v one", "y", axis=0),
        ],
        s=sizes(8, 2, 9), u=sizes(2, -1, 2, 3, 3), one=np.int64(1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_one_frame_of_four(tmp_path, name):
    path = save(MODELS[name], tmp_path)
    graph = simplify(read_model(path, {"x": (1, 2, 3, 3)}))
    frames = RNG.normal(0, 1, (4, 2, 3, 3)).astype(np.float32)
    wanted = session(path).run(None, {"x": frames})[0]
    found = run_float(graph, {"x": frames})[graph.outputs[0]]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_what_does_not_follow_is_named(tmp_path):
    mixed = model([node("Reshape", "a s", "y")], s=sizes(6, 24))
    with pytest.raises(ModelError, match=r"node 'y_node' \(Reshape\): the model's batch of 4 .* with a batch of 1"):
        read_model(save(mixed, tmp_path), {"x": (1, 2, 3, 3)})
    own = model([node("Add", "a k", "y")], k=RNG.normal(0, 1, (4, 4, 3, 3)).astype(np.float32))
    with pytest.raises(ModelError, match="its constant 'k' is another one for each of 4 frames"):
        read_model(save(own, tmp_path), {"x": (1, 2, 3, 3)})
