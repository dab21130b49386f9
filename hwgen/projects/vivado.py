"""Projects for AMD's Vivado: an IP core for its catalogue, and a script that builds a design around it."""

from typing import Any

from amaranth.lib.wiring import In

from hwgen.hdl.export import MACRO, export

from .bench import bench_files
from .dma import LENGTH_BITS, STATUS, addresses, dma_names
from .facts import BuildFacts, render
from .host import AXI4, HostTop

VENDOR, LIBRARY, VERSION = "hwgen", "accelerators", "1.0"
#: What an IP core, for which no macros can be set, has synthesised in place of the Verilog of its accelerator.
_WITH_CELLS = """\
// {name} with cells of the device, and not with their behavioural twins, which simulators take
`define {macro}
`include "{name}.v"
"""
_ADDRESS_BITS = {"zynq": 32, "mpsoc": 40}
_FAMILIES = (
    "zynq", "zynquplus", "artix7", "kintex7", "spartan7", "virtex7", "kintexu", "kintexuplus", "virtexu", "virtexuplus",
    "artixuplus",
)  # fmt: skip


def vivado_files(facts: BuildFacts) -> dict[str, str]:
    """Everything in the folder ``vivado``."""
    top = facts.host(AXI4)
    name = f"{facts.made.name}_{AXI4.suffix}"
    bench = bench_files(facts, top)
    cells = {}
    if MACRO in facts.made.verilog.text:
        cells[f"{facts.made.name}_cells.v"] = _WITH_CELLS.format(name=facts.made.name, macro=MACRO)
    values = {
        **facts.values(name, top),
        "vlnv": f"{VENDOR}:{LIBRARY}:{name}:{VERSION}",
        "core_files": [f"{facts.made.name}.v", *facts.memories],
        "vectors": [file for file in bench if file.endswith(".hex")],
        "source_width": top.source.width,
        "macro": MACRO,
        "cells": list(cells),
        "dmas": _dmas(facts, top),
        "status": {"cell": STATUS, "address": f"0x{addresses(facts.made.device.system, len(top.results))[1]:08X}"},
        "length_bits": LENGTH_BITS,
        "max_bytes": (1 << LENGTH_BITS) - 1,
        "address_bits": _ADDRESS_BITS.get(facts.made.device.system or ""),
    }
    return {
        f"{name}.v": export(top, name).text,
        **cells,
        **bench,
        f"{name}_ooc.xdc": render("ooc.xdc.j2", **values),
        "ip/component.xml": component_xml(facts, top, name, list(cells)),
        "package_ip.tcl": render("package_ip.tcl.j2", **values),
        "build.tcl": render("build.tcl.j2", **values),
        "README.md": render("vivado.md.j2", **values),
    }


def _dmas(facts: BuildFacts, top: HostTop) -> list[dict[str, Any]]:
    """A DMA for every output: its cell, its address, and the port and width of what it receives."""
    places, _ = addresses(facts.made.device.system, len(top.results))
    return [
        {"cell": cell, "address": f"0x{place:08X}", "port": host.name, "width": host.width}
        for cell, place, host in zip(dma_names(len(top.results)), places, top.results, strict=True)
    ]


def component_xml(facts: BuildFacts, top: HostTop, name: str, cells: list[str]) -> str:
    """IP-XACT (IEEE 1685-2009) of the module ``name``: its streams, clock and reset, and which belong together. Where
    there is a file with ``cells``, it is synthesised and includes the Verilog of the accelerator."""
    hosts, network = (top.source, *top.results), facts.made.network
    streams = [
        {"name": host.name, "width": host.width, "mode": "master" if n else "slave"} for n, host in enumerate(hosts)
    ]
    clock = (
        ("ASSOCIATED_BUSIF", ":".join(host.name for host in hosts)),
        ("ASSOCIATED_RESET", "rst"),
    )
    ports = [{"name": signal, "direction": "in", "bits": 1} for signal in ("clk", "rst")]
    ports += [
        {"name": signal, "direction": "in" if member.flow == In else "out", "bits": member.shape}
        for signal, member in top.signature.members.items()
    ]
    return render(
        "component.xml.j2",
        vendor=VENDOR,
        library=LIBRARY,
        version=VERSION,
        name=facts.made.name,
        top=name,
        streams=streams,
        signals=[("clk", "clock", "CLK", clock), ("rst", "reset", "RST", (("POLARITY", "ACTIVE_HIGH"),))],
        ports=ports,
        memories=facts.memories,
        cells=cells,
        families=_FAMILIES,
        description=f"Streaming accelerator of the network {network.name}: {network.input.map} in",
    )
