"""Every command and every piece of Python shown in a document runs, and prints what the document shows.

Blocks marked ``console`` hold commands (lines beginning with ``$ ``) and lines of their output; ``...`` stands for what
is left out, of a line or of the lines. Blocks marked ``python`` are run, by pytest where they define tests. A block
after an HTML comment that begins with ``illustrative`` is only shown; one after ``from FILE`` is a piece of that file.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

import pytest

from tests.shared import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(<!-- (?:illustrative|from)[^\n]*-->\n)?^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
SECONDS = 300
# Run where the tests run, so neither is run by them: installing would change the environment, and pytest would not end.
INSTALL = re.compile(r"^pip install [^&]*(&& |$)")
TESTS = re.compile(r"^pytest\b")


@dataclass(frozen=True)
class Block:
    """A piece of a document."""

    document: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"


def blocks():
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for found in BLOCK.finditer(text):
            if not found[1]:
                yield Block(document, text.count("\n", 0, found.start()) + 1, found[2], found[3])


BLOCKS = list(blocks())
QUOTED = re.compile(r"<!-- from (\S+) -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the examples in it, for all blocks of all documents."""
    place = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "examples", place / "examples")
    return place


def commands(text):
    """Pairs of a command and the lines of output shown below it."""
    found = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def run(command, folder):
    python = str(Path(sys.executable).parent)
    environment = {name: value for name, value in os.environ.items() if name != "YOSYS"}
    environment |= {"PATH": f"{python}{os.pathsep}{environment['PATH']}", "COLUMNS": "100"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False, shell=True
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("document", {block.document: None for block in BLOCKS}, ids=lambda path: path.name)
def test_blocks_do_what_is_shown(document, folder, subtests):
    """One after the other: what a block makes, those below it in the document may use."""
    for block in (block for block in BLOCKS if block.document == document):
        with subtests.test(str(block)):
            (check_commands if block.kind == "console" else check_python)(block, folder)


def check_commands(block, folder):
    """Every command prints the lines below it."""
    for command, shown in commands(block.text):
        rest = INSTALL.sub("", command)
        if not rest or TESTS.match(rest):
            print(f"not run here: {command}")
            continue
        printed = run(rest, folder)
        for line in shown:
            pattern = re.escape(line).replace(r"\.\.\.", ".*")
            found = re.search(f"^{pattern}$", printed, re.MULTILINE)
            assert found, f"{block}: `{rest}` does not print {line!r} but\n{printed}"


def check_python(block, folder):
    """It runs to its end."""
    file = folder / f"test_{block.document.stem.replace('-', '_')}_{block.line}.py"
    file.write_text(block.text, encoding="utf-8")
    runner = "-m pytest -p no:cacheprovider" if "def test_" in block.text else ""
    run(f'"{sys.executable}" {runner} "{file.name}"', folder)


def test_pieces_of_files_are_as_they_are_there():
    found = [piece for document in DOCUMENTS for piece in QUOTED.findall(document.read_text(encoding="utf-8"))]
    for file, piece in found:
        source = (ROOT / file).read_text(encoding="utf-8")
        assert any(indent(piece, " " * deep) in source for deep in range(0, 13, 4)), f"not in {file}:\n{piece}"
    marks = sum(document.read_text(encoding="utf-8").count("<!-- from ") for document in DOCUMENTS)
    assert len(found) == marks >= 4


def test_python_files_that_are_named_are_there():
    """From the root, in ``hwgen``, beside the one named before, or a name that some file has."""
    for document in DOCUMENTS:
        for name in re.findall(r"`([\w/-]+\.py)`", document.read_text(encoding="utf-8")):
            places = (ROOT / name, ROOT / "hwgen" / name)
            assert any(place.is_file() for place in places) or [*ROOT.glob(f"hwgen/**/{name}")], f"{document}: {name}"


WALK = re.compile(r"`(hwgen/[\w/]+\.py)`: (`\w+(?:\.\w+)?`(?:, `\w+(?:\.\w+)?`)*)")


def definitions(file):
    """Functions and classes of a Python file, methods as ``Class.method``."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if name := getattr(node, "name", None):
            yield name
            yield from (f"{name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef))


def test_all_that_a_walk_goes_through_is_there():
    steps = WALK.findall((ROOT / "docs/how-it-works.md").read_text(encoding="utf-8"))
    assert len(steps) >= 20
    for file, names in steps:
        missing = set(re.findall(r"[\w.]+", names)) - set(definitions(ROOT / file))
        assert not missing, f"{file} has no {', '.join(sorted(missing))}"


def test_something_is_found_in_the_documents():
    assert {block.document.name for block in BLOCKS} >= {"README.md", "getting-started.md"}
    assert {block.kind for block in BLOCKS} == {"console", "python"}


def test_links_between_documents_lead_somewhere():
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
