"""Projects for Intel's Quartus: one that compiles the accelerator, and a component for Platform Designer."""

from typing import Any

from amaranth.lib.wiring import In

from hwgen.hdl.export import export

from .bench import bench_files
from .facts import BuildFacts, render
from .host import AVALON, HostPort, HostTop


def quartus_files(facts: BuildFacts) -> dict[str, str]:
    """Everything in the folder ``quartus``."""
    top = facts.host(AVALON)
    name = f"{facts.made.name}_{AVALON.suffix}"
    values = {
        **facts.values(name, top),
        "streams": [_stream(top, host) for host in (top.source, *top.results)],
        "virtual": [
            "rst", *(f"{port}[*]" if member.shape > 1 else port for port, member in top.signature.members.items())
        ],
    }  # fmt: skip
    return {
        f"{name}.v": export(top, name).text,
        **bench_files(facts, top),
        f"{name}.qpf": render("quartus.qpf.j2", **values),
        f"{name}.qsf": render("quartus.qsf.j2", **values),
        f"{name}.sdc": render("quartus.sdc.j2", **values),
        f"{name}_hw.tcl": render("hw.tcl.j2", **values),
        "build.tcl": render("quartus_build.tcl.j2", **values),
        "README.md": render("quartus.md.j2", **values),
    }


def _stream(top: HostTop, host: HostPort) -> dict[str, Any]:
    """An Avalon-ST interface with its ports by role; a sink is an end, a source a start."""
    prefix = f"{host.name}_"
    members = {
        port.removeprefix(prefix): member
        for port, member in top.signature.members.items()
        if port.startswith(prefix) and port.removeprefix(prefix) in AVALON.roles
    }
    ports = [
        {"role": role, "direction": "Input" if member.flow == In else "Output", "bits": member.shape}
        for role, member in members.items()
    ]
    return {"name": host.name, "end": "end" if host is top.source else "start", "ports": ports}
