"""Wheel and sdist carry what they must, are made without litter, and hints work where hwgen comes from no index."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import hwgen

ROOT = Path(hwgen.__file__).parents[1]
BUILD = "import sys; from hatchling.build import build_{0}; print(build_{0}(sys.argv[1]))"
HINTED = (*(ROOT / "hwgen").rglob("*.py"), *(ROOT / "docs").glob("*.md"))
#: Files that make a package; Git is not asked, as an sdist has none.
OURS = {path for folder in ("hwgen", "boards") for path in (ROOT / folder).rglob("*") if path.is_file()}

pytest.importorskip("hatchling", reason="hatchling, of the extra 'test', is not installed")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, set[str] | Path]:
    """What each target makes, and the names of the files in it."""
    folder = tmp_path_factory.mktemp("dist")
    names = {}
    for target in ("wheel", "sdist"):
        before = _tree()
        run = subprocess.run(
            [sys.executable, "-c", BUILD.format(target), str(folder)], cwd=ROOT, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        assert _tree() == before
        names[f"{target} file"] = folder / run.stdout.split()[-1]
        names[target] = _names(names[f"{target} file"])
    return names


def _tree() -> set[Path]:
    return {path for path in ROOT.iterdir() if path.name != "__pycache__"} | set((ROOT / "build").glob("*"))


def _names(file: Path) -> set[str]:
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as wheel:
            return set(wheel.namelist())
    with tarfile.open(file) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def _packaged(path: Path) -> str:
    name = path.relative_to(ROOT).as_posix()
    return name if name.startswith("hwgen/") else f"hwgen/{name}"


def test_the_wheel_has_every_module_template_and_table_and_the_boards(built):
    wanted = {_packaged(path) for path in OURS if "__pycache__" not in path.parts}
    assert {
        "hwgen/py.typed",
        "hwgen/device/devices.csv",
        "hwgen/boards/ulx3s.toml",
        "hwgen/report/templates/report.html",
    } <= wanted
    assert {"hwgen/schemas/answers.json", "hwgen/schemas/plan.json"} <= wanted
    assert wanted - built["wheel"] == set()
    others = {name for name in built["wheel"] - wanted if ".dist-info/" not in name}
    assert others == set()
    assert any(name.endswith("licenses/LICENSE") for name in built["wheel"])


def test_an_installed_package_has_the_boards(built, tmp_path):
    with zipfile.ZipFile(built["wheel file"]) as wheel:
        wheel.extractall(tmp_path)
    code = "from hwgen.board import boards; print(boards.__file__, *(board.name for board in boards.BOARDS))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}
    )
    names = sorted(file.stem for file in (ROOT / "boards").glob("*.toml"))
    assert run.stdout.split() == [str(tmp_path / "hwgen/board/boards.py"), *names], run.stderr


def test_boards_are_data():
    assert {path.suffix for path in (ROOT / "boards").iterdir()} == {".toml", ".md"}


def test_the_sdist_has_what_the_readme_names(built):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b((?:examples|docs)/[\w./-]+\.\w+)", readme))
    assert {"examples/lenet5.onnx", "examples/digits/digit_3_a.png", "docs/boards.md"} <= named
    files = {"LICENSE", "README.md", "CONTRIBUTING.md", "CITATION.cff", "pyproject.toml", "tests/tiny.py"}
    assert named | files <= built["sdist"]
    assert not any(name.startswith(("build/", ".git/")) for name in built["sdist"])


@pytest.mark.parametrize("path", [ROOT / "README.md", *HINTED], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_hints_name_extras_of_a_checkout(path):
    assert "hwgen[" not in path.read_text(encoding="utf-8")


def test_a_checkout_that_is_not_installed_knows_its_version(tmp_path):
    code = (
        "import importlib.metadata as m\n"
        "def version(name, real=m.version):\n"
        "    if name == 'hwgen': raise m.PackageNotFoundError(name)\n"
        "    return real(name)\n"
        "m.version = version\n"
        "import hwgen; from hwgen.tools.manifest import manifest\n"
        "print(hwgen.__version__, manifest('.')['tools']['hwgen'])\n"
        "from hwgen.cli.main import cli; cli.main(['--version'])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert run.stdout.split() == [*[hwgen.__version__] * 2, "hwgen,", "version", hwgen.__version__], run.stderr


def test_the_citation_is_of_this_version():
    assert f"version: {hwgen.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
