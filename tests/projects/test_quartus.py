"""Quartus projects: scripts and settings in an interpreter that knows Quartus, the component against the module."""

import re

import pytest

from .common import files, written

pytest.importorskip("tkinter", reason="Python has no tkinter")
from .quartus_tcl import Quartus

NETWORKS = pytest.mark.parametrize("name", ["tiny", "two", "loadable"])


def module_ports(name):
    """Direction and width of the ports of the Verilog."""
    top = f"{name}_avalon"
    text = files("quartus", name, "5cseba6")[f"{top}.v"].partition(f"module {top}(")[2].partition("endmodule")[0]
    return {
        port: (direction.capitalize(), int(high or 0) + 1)
        for direction, high, port in re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);", text, re.MULTILINE)
    }


@NETWORKS
def test_the_component_describes_the_module(tmp_path, name):
    folder = written(tmp_path, "quartus", name, "5cseba6")
    tool = Quartus(folder)
    tool.run(folder / f"{name}_avalon_hw.tcl")
    described = {port: (direction, bits) for port, (_, _, direction, bits) in tool.ports.items()}
    assert described == module_ports(name)
    roles = {"data", "valid", "ready", "startofpacket", "endofpacket", "empty"}
    streams = [interface for interface, (kind, _) in tool.interfaces.items() if kind == "avalon_streaming"]
    assert len(streams) == (2 if name == "tiny" else 3)
    for stream in streams:
        assert {role for interface, role, _, _ in tool.ports.values() if interface == stream} == roles
        assert ("set_interface_property", stream, "firstSymbolInHighOrderBits", "false") in tool.calls


@NETWORKS
def test_settings_name_files_that_exist(tmp_path, name):
    folder, top = written(tmp_path, "quartus", name, "5cseba6"), f"{name}_avalon"
    tool = Quartus(folder)
    tool.run(folder / f"{top}.qsf")
    settings = {call[2]: call[3] for call in tool.calls if call[:2] == ("set_global_assignment", "-name")}
    assert (settings["FAMILY"], settings["TOP_LEVEL_ENTITY"]) == ("Cyclone V", top)
    sources = [call[3] for call in tool.calls if call[2:3] == ("VERILOG_FILE",)]
    assert sources == [f"../{name}.v", f"{top}.v"]
    tool.run(folder / f"{top}.sdc")
    assert ("create_clock", "-name", "clk", "-period", "10.000", "clk") in tool.calls


@NETWORKS
def test_the_build_script_runs(tmp_path, name):
    folder = written(tmp_path, "quartus", name, "5cseba6")
    tool = Quartus(folder)
    tool.run(folder / "build.tcl")
    names = [call[0] for call in tool.calls]
    assert names.index("project_open") < names.index("execute_flow") < names.index("load_report")
    assert names[-1] == "project_close"
    assert tool.printed == [tool.PANELS[1], "  row 0", "  row 1"]
    virtual = [call[-1] for call in tool.calls if call[0] == "set_instance_assignment"]
    assert sorted(virtual) == sorted(
        f"{port}[*]" if bits > 1 else port for port, (_, bits) in module_ports(name).items() if port != "clk"
    )
