"""The folders import in one direction, and only three files know the ONNX package."""

import ast
from pathlib import Path

import pytest

import hwgen

ROOT = Path(hwgen.__file__).parent
ORDER = ["graph", "tools", "frames", "memory", "blocks", "device", "dataflow"]
FILES = sorted(ROOT.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Absolute names of the modules that a file imports."""
    package = ["hwgen", *path.relative_to(ROOT).parts[:-1]]
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            names.add(".".join([*base, *([node.module] if node.module else [])]))
    return names


def rank(parts: tuple[str, ...]) -> int:
    """The folder's place from left to right; what lies in no folder comes last."""
    return ORDER.index(parts[0]) if parts and parts[0] in ORDER else len(ORDER)


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_imports_point_to_the_left(path):
    own = rank(path.relative_to(ROOT).parts)
    inside = [name.split(".")[1:] for name in imported(path) if name.split(".")[0] == "hwgen"]
    wrong = [".".join(parts) for parts in inside if parts and rank(tuple(parts)) > own]
    assert not wrong, f"{path.name} imports {wrong}, which stand to its right"


def test_only_files_that_read_and_write_models_know_onnx():
    users = {
        path.relative_to(ROOT).as_posix() for path in FILES if any(n.split(".")[0] == "onnx" for n in imported(path))
    }
    assert users <= {
        "graph/evaluation.py",
        "graph/known_nodes.py",
        "graph/model_file.py",
        "graph/narrow_weights.py",
        "graph/node_reader.py",
        "graph/precision.py",
        "graph/reader.py",
        "graph/subgraphs.py",
        "graph/tensor_data.py",
        "graph/unsigned_weights.py",
        "graph/writer.py",
    }


def test_the_link_knows_no_board():
    for path in (ROOT / "link").glob("*.py"):
        assert not {name for name in imported(path) if name.startswith("hwgen.board")}, path.name
