"""One table says what each imported operator is; passes and lowering ask it, and name few operators themselves."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.blocks import OPERATORS as OPERATORS_OF_BLOCKS
from hwgen.graph.cut import Wires, cut_before
from hwgen.graph.ir import Node
from hwgen.graph.network import SITE_OPS
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from hwgen.graph.passes.transposes import cancel_transposes
from hwgen.graph.semantics.kinds import Kind
from hwgen.graph.semantics.operators import CLIPS, ELEMENTWISE, OPERATORS, of_kind
from tests.graph.models import build, node, save

GRAPH = Path(hwgen.__file__).parent / "graph"
MOST = 3  # operators that a module may name together
#: Why some modules name more of them: what they say of each is no matter of its kind.
LISTED = {
    "formats/qonnx.py": "the operators that QONNX has in a channels-last form, too",
    "semantics/operators.py": "the table",
    "passes/canonical.py": "a function for each that is rewritten",
    "passes/ranges.py": "a function for each whose ends are known",
    "onnx/unsigned_weights.py": "what ONNX Runtime moves a DequantizeLinear past",
}
#: Kinds of which nothing is left when a network is lowered: passes take them away, or the host computes them.
GONE = {Kind.AFFINE, Kind.INTEGER, Kind.META, Kind.NOTHING, Kind.RANKING}


def named_together(path):
    """The names of operators in the longest collection that ``path`` writes out."""
    found = [[]]
    for each in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        values = getattr(each, "elts", None) or getattr(each, "keys", None) or getattr(each, "comparators", None) or []
        names = [value.value for value in values if isinstance(value, ast.Constant)]
        names += [keyword.arg for keyword in getattr(each, "keywords", [])]
        found.append([name for name in names if name in OPERATORS])
    return max(found, key=len)


def test_only_the_listed_modules_name_many_operators_together():
    many = {
        path.relative_to(GRAPH).as_posix() for path in sorted(GRAPH.rglob("*.py")) if len(named_together(path)) > MOST
    }
    assert many == set(LISTED)


def test_a_list_of_operators_would_be_found(tmp_path):
    path = tmp_path / "some.py"
    for text in ('A = ("Relu", "Clip", "Add", "Mul")', 'A = {"Relu": 1, "Clip": 2, "Add": 3, "Mul": 4}'):
        path.write_text(text)
        assert len(named_together(path)) == 4
    path.write_text("A = dict(Relu=1, Clip=2, Add=3, Mul=4)")
    assert len(named_together(path)) == 4


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_has_a_shape_a_float_form_and_a_site(name):
    operator = OPERATORS[name]
    assert callable(operator.infer)
    assert callable(operator.compute)
    assert bool(operator.site) == (operator.kind not in GONE)
    assert not operator.site or operator.site in SITE_OPS


def test_every_kind_has_operators_and_every_site_has_who_takes_it():
    assert all(of_kind(kind) for kind in Kind)
    assert set(SITE_OPS) <= {site for operator in OPERATORS_OF_BLOCKS for site in operator.sites}


@pytest.mark.parametrize("name", sorted(n for n in ELEMENTWISE if OPERATORS[n].monotone))
def test_what_is_monotone_never_falls_or_never_rises(name):
    """In each of the operands that the table says, the others constant."""
    operator = OPERATORS[name]
    least, most = operator.operands
    rising = np.linspace(-3, 3, 61, dtype=np.float32)
    for place in range(min(operator.monotone, max(least, min(most, 2)))):
        for other in (np.float32(-1.5), np.float32(0.75)):
            operands = [other] * max(least, min(most, 2))
            operands[place] = rising
            if name in CLIPS:
                operands = [rising, np.float32(-1), np.float32(1)][:most]
            attributes = {key: value for key, value in operator.defaults.items() if key != "to"}
            steps = np.diff(operator.compute(*operands, **attributes))
            assert (steps >= 0).all() or (steps <= 0).all()


def test_elementwise_operators_become_sites_of_their_own_or_part_of_one():
    assert {OPERATORS[name].site for name in ELEMENTWISE} == {"Elementwise", "Add", "Mul"}


def test_a_mean_of_operands_joins_the_tail_as_their_sum_does():
    nodes = [
        Node("first", "Conv", ("x", "w"), ("a",)),
        Node("second", "Conv", ("x", "v"), ("b",)),
        Node("mean", "Mean", ("a", "b"), ("c",)),
        Node("exp", "Exp", ("c",), ("y",)),
    ]
    cut = cut_before(Wires(nodes, ["x"]), ["y"], ["exp"])
    assert cut.outputs == ("a", "b")


def test_all_that_works_element_by_element_goes_before_a_transpose(tmp_path):
    constants = {"mask": np.arange(18).reshape(1, 3, 3, 2) % 3 > 0, "other": np.zeros((), np.float32)}
    nodes = [
        node("Transpose", "x", "t", perm=[0, 2, 3, 1]),
        node("Where", "mask t other", "c"),
        node("Transpose", "c", "y", perm=[0, 3, 1, 2]),
    ]
    model = build(nodes, "y", constants, source=("x", ("N", 2, 3, 3)))
    graph = cancel_transposes(simplify(read_model(save(model, tmp_path)), passes=()))
    assert [each.op for each in graph.nodes] == ["Where"]
    assert graph.constants[graph.nodes[0].inputs[0]].shape == (1, 2, 3, 3)


NEW_ROWS = """
        "Cube": _unary("cube", monotone=1),
        "ReduceMin": _reduction("reduce_min"),
"""
NEW_FUNCTIONS = {
    "semantics/float_elementwise.py": "\n\ndef cube(x: Array) -> Array:\n    return x * x * x\n",
    "semantics/float_layout.py": """

def reduce_min(x: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    return x.min(reduced_axes(x.ndim, axes, bool(noop_with_empty_axes)), keepdims=bool(keepdims))
""",
}
USE = """
import sys
import numpy as np
from hwgen.blocks import OPERATORS
from hwgen.graph import golden
from hwgen.graph.semantics.float_model import run_float
from hwgen.graph.lower.lower import lower
from hwgen.graph.passes import simplify
from hwgen.graph.quantize.quantize import quantize
from hwgen.graph.onnx.reader import read_model

graph = simplify(read_model(sys.argv[1]))
frames = np.random.default_rng(0).random((8, 2, 3, 3), np.float32)
network = lower(quantize(graph, frames), OPERATORS)
print(*(type(layer.op).__name__ for layer in network.layers))
real = run_float(graph, {"x": frames})["y"].reshape(8, -1)
integers = golden.output(network, golden.network_input(network, frames))
made = golden.network_output(network, integers).reshape(8, -1)
assert np.abs(made - real).max() <= 0.02 * real.max()
"""


@pytest.mark.slow
def test_an_operator_of_a_known_kind_is_a_row_and_a_function(tmp_path):
    """In a copy of the package that knows two more, each by what it adds to two files, and computes them."""
    copy = tmp_path / "hwgen"
    shutil.copytree(GRAPH.parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    table = copy / "graph/semantics/operators.py"
    first = '        "Abs": _unary("absolute"),\n'
    text = table.read_text(encoding="utf-8")
    assert text.count(first) == 1
    table.write_text(text.replace(first, NEW_ROWS.strip("\n") + "\n" + first), encoding="utf-8")
    for name, function in NEW_FUNCTIONS.items():
        path = copy / "graph" / name
        path.write_text(path.read_text(encoding="utf-8") + function, encoding="utf-8")
    constants = {"w": np.eye(2, dtype=np.float32).reshape(2, 2, 1, 1)}
    nodes = [node("Conv", "x w", "c"), node("Cube", "c", "d"), node("ReduceMin", "d", "y", axes=[1])]
    path = save(build(nodes, "y", constants, source=("x", ("N", 2, 3, 3))), tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", USE, str(path)], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["Conv", "Table", "Float"]
