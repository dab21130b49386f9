"""Every folder has a rank, imports point to the left and run in no circles, and few files know the ONNX package."""

import ast
from collections.abc import Iterator
from functools import lru_cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import hwgen

ROOT = Path(hwgen.__file__).parent
#: Folders, and files that lie in none, from left to right.
ORDER = (
    "names", "progress", "graph", "tools", "cost", "output", "frames", "hdl", "memory", "blocks", "device", "dataflow",
    "top", "accelerator", "simulate", "testing", "link", "projects", "board", "report", "flow", "cli", "__init__",
    "__main__",
)  # fmt: skip
#: Folders that hold no modules.
DATA = {"schemas"}
#: Files that lie in no folder, at the most.
LOBBY = 8
FILES = sorted(path for path in ROOT.rglob("*.py") if "templates" not in path.parts)


def module(path: Path) -> str:
    """``hwgen.graph`` of graph/__init__.py, ``hwgen.graph.ir`` of graph/ir.py."""
    return ".".join(("hwgen", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {module(path): path for path in FILES}


def names(path: Path) -> Iterator[tuple[str, bool]]:
    """Absolute names of what a file imports, and whether for annotations alone."""
    package = ["hwgen", *path.relative_to(ROOT).parts[:-1]]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in typing) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((f"{start}.{alias.name}", node in typing) for alias in node.names)


@lru_cache(None)
def imports(name: str, *, typing: bool) -> frozenset[str]:
    """The modules of ours that one imports, for annotations alone or really."""
    found = {_owner(each) for each, only in names(MODULES[name]) if only == typing and each.split(".")[0] == "hwgen"}
    return frozenset(found - {name})


def _owner(name: str) -> str:
    """The module that a name is in, or that it is."""
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def imported(path: Path) -> set[str]:
    """Absolute names of all that a file imports."""
    return {name for name, _ in names(path)}


def rank(name: str) -> int:
    """The place of a module's folder, or of its own where it lies in none, from left to right."""
    return ORDER.index(MODULES[name].relative_to(ROOT).parts[0].removesuffix(".py"))


def test_every_folder_and_file_has_a_rank():
    found = {path.stem for path in ROOT.iterdir() if path.is_dir() or path.suffix == ".py"} - {"__pycache__"}
    assert found == {*ORDER, *DATA}
    assert len(list(ROOT.glob("*.py"))) <= LOBBY
    assert not [path for folder in DATA for path in (ROOT / folder).rglob("*.py")]


def test_tests_have_the_folders_of_what_they_test():
    """What is in no folder concerns the whole, a file that lies in none, or is of use to all tests."""
    here = Path(__file__).parent
    assert {path.parent.name for path in here.glob("*/*.py")} <= set(ORDER)


def test_every_folder_has_a_door_that_says_what_it_is_for():
    doors = {path.parent / "__init__.py" for path in FILES}
    assert not [door for door in doors if not ast.get_docstring(ast.parse(door.read_text(encoding="utf-8")))]


def test_the_documents_have_the_folders_in_this_order():
    text = " ".join((ROOT.parent / "docs/how-it-works.md").read_text(encoding="utf-8").split())
    assert f"`{' <- '.join(name for name in ORDER if (ROOT / name).is_dir())}`" in text


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_to_the_left(name):
    both = imports(name, typing=False) | imports(name, typing=True)
    wrong = [each for each in both - {"hwgen"} if rank(each) > rank(name)]
    assert not wrong, f"{name} imports {wrong}, which stand to its right"


def test_nothing_imports_in_circles():
    """``hwgen`` itself is a door: what it offers, it imports when it is asked for."""
    arrows = {name: imports(name, typing=False) - {"hwgen"} for name in MODULES}
    TopologicalSorter(arrows).prepare()


def test_no_import_for_annotations_runs_up():
    up = {(name, each) for name in MODULES for each in imports(name, typing=True) if name in reached(each)}
    assert {pair for pair in up if pair[0] != "hwgen"} == set(), "an import for annotations names what imports its file"


@lru_cache(None)
def reached(name: str) -> frozenset[str]:
    """All modules that one needs, directly or through others."""
    own = imports(name, typing=False) - {"hwgen"}
    return own.union(*(reached(each) for each in own))


def test_only_files_that_read_and_write_models_know_onnx():
    users = {
        path.relative_to(ROOT).as_posix() for path in FILES if any(n.split(".")[0] == "onnx" for n in imported(path))
    }
    assert users <= {
        "graph/onnx/evaluation.py",
        "graph/onnx/known_nodes.py",
        "graph/onnx/model_file.py",
        "graph/onnx/narrow_weights.py",
        "graph/onnx/node_reader.py",
        "graph/onnx/precision.py",
        "graph/onnx/reader.py",
        "graph/onnx/subgraphs.py",
        "graph/onnx/tensor_data.py",
        "graph/onnx/unsigned_weights.py",
        "graph/onnx/writer.py",
    }


def test_the_link_knows_no_board():
    for path in (ROOT / "link").glob("*.py"):
        assert not {name for name in imported(path) if name.startswith("hwgen.board")}, path.name


def test_no_operator_has_a_way_from_a_site_that_leads_nowhere():
    """What is no operator of a model has no ``from_site``, rather than one that gives nothing."""
    stubs = []
    for path in (ROOT / "blocks").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name == "from_site":
                body = [line for line in node.body if not isinstance(line, ast.Expr)]
                stubs += [path.name] * all(isinstance(line, ast.Return) and _is_none(line.value) for line in body)
    assert stubs == []


def _is_none(value: ast.expr | None) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def test_few_ask_of_what_class_an_operator_or_unit_is():
    """What others want to know of one it says itself; each place that asks all the same has its reason above it."""
    found = {}
    for name, path in MODULES.items():
        if rank(name) <= ORDER.index("blocks"):
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        tree = ast.parse("\n".join(lines))
        ours = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hwgen.blocks")
            for alias in node.names
        }
        for node in ast.walk(tree):
            asks = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance"
            if asks and ours & {inner.id for inner in ast.walk(node.args[1]) if isinstance(inner, ast.Name)}:
                found[f"{name}:{node.lineno}"] = lines[node.lineno - 2].strip()
    assert len(found) <= 3
    assert all(before.startswith("#") for before in found.values()), found
