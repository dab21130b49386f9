"""Projects on the command line: what is written, the same bytes every time, and devices of others."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import hwgen
from hwgen.cli.main import cli
from hwgen.device.targets import DEVICES, device
from hwgen.names import identifier
from hwgen.projects import PROJECTS, check_projects, project_files

from .. import tiny
from .common import design

BUILD = ["build", "tiny.onnx", "--calibration", "frames.npy", "--quiet"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny.save(tmp_path / "tiny.onnx")
    np.save(tmp_path / "frames.npy", tiny.frames())
    return tmp_path


def test_choices_are_the_projects():
    option = next(option for option in cli.commands["build"].params if option.name == "projects")
    assert list(option.type.choices) == list(PROJECTS)


@pytest.mark.slow
def test_build_writes_the_projects_asked_for_twice_the_same(folder, monkeypatch):
    options = ["--device", "xc7z020", "--project", "pynq", "--project", "baremetal", "--project", "vivado"]
    contents = []
    for cache in ("one", "two"):
        monkeypatch.setenv("HWGEN_CACHE_DIR", str(folder / cache))  # nothing is remembered
        result = CliRunner().invoke(cli, [*BUILD, *options])
        assert result.exit_code == 0, result.output
        place = folder / "build" / "tiny"
        contents.append({str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()})
    assert contents[0] == contents[1]
    assert {Path(name).parts[0] for name in contents[0] if "/" in name} == {"vivado", "pynq", "baremetal"}
    manifest = json.loads(contents[0]["manifest.json"])["files"]
    assert sorted([*manifest, "manifest.json"]) == sorted(contents[0])
    assert not any(str(folder).encode() in content for content in contents[0].values())


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("vivado", "lfe5u-85f", "for devices by AMD, not for lfe5u-85f; take --device xc7a35t, xc7a100t, xc7a200t, "),
        ("quartus", "xc7z020", "for devices by Intel, not for xc7z020; take --device 5cseba6, 10ax115, 1sx280, or "),
        ("pynq", "xc7a35t", "for Zynq and Zynq UltraScale+ devices, not for xc7a35t; take --device xc7z010, xc7z020, "),
        ("pynq", None, "for Zynq and Zynq UltraScale+ devices, not for lfe5u-85f;"),
    ],
)
def test_a_device_of_another_vendor_is_one_line(folder, kind, name, words):
    result = CliRunner().invoke(cli, [*BUILD, "--project", kind, *(["--device", name] if name else [])])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: --project {kind} is {words}")
    assert line.endswith(f"leave out --project {kind}")
    assert not (folder / "build").exists()


def test_an_unknown_project_is_one_line(folder):
    result = CliRunner().invoke(cli, [*BUILD, "--project", "ise"])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: Invalid value for '--project': 'ise' is not one of 'vivado', 'quartus'")


def test_more_outputs_than_dmas_are_one_line(monkeypatch):
    monkeypatch.setattr("hwgen.projects.MOST_OUTPUTS", 1)
    made = replace(design("two"), device=device("xc7z020"))
    with pytest.raises(hwgen.InputError, match=r"2 streams leave the network, .* the 1 that .* with --outputs"):
        project_files(["pynq"], made)
    assert project_files(["quartus"], replace(made, device=device("5cseba6")))
    assert project_files([], made) == {}


def test_every_device_of_a_vendor_has_its_full_name_and_processor():
    for known in DEVICES:
        if known.family.maker == "AMD":
            assert known.part.startswith(known.name)
            assert bool(known.board_part) == bool(known.board)
        else:
            assert known.system is known.board_part is None
        if known.family.maker == "Intel":
            assert known.part.lower().startswith(known.name)
            assert known.family.series in ("Cyclone V", "Arria 10", "Stratix 10")
    systems = {name: device(name).system for name in ("xc7z010", "xczu9eg", "xck26", "xc7a35t", "xcvu9p")}
    assert systems == {"xc7z010": "zynq", "xczu9eg": "mpsoc", "xck26": "mpsoc", "xc7a35t": None, "xcvu9p": None}


def test_a_device_whose_name_begins_like_that_of_one_with_a_processor_has_none():
    """Kintex UltraScale, xcku040, beside Kria, xck26."""
    alike = [known for known in DEVICES if known.name.startswith("xcku")]
    assert len(alike) == 2
    for known in alike:
        assert known.system is None
        with pytest.raises(hwgen.InputError, match="--project pynq is for Zynq"):
            check_projects(["pynq"], known)


@pytest.mark.slow
def test_nothing_of_a_name_reaches_c_or_tcl_but_letters_and_digits():
    name = "2-layer [exec] & net"
    made = replace(design(name=name), device=device("xc7z020"))
    assert made.name == identifier(name) == "net_2_layer_exec_net"
    texts = project_files(["vivado", "baremetal"], made)
    assert [file for file, text in texts.items() if "[exec]" in text] == ["vivado/ip/component.xml"]
    assert "2-layer [exec] &amp; net" in texts["vivado/ip/component.xml"]
