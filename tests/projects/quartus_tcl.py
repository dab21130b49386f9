"""Quartus and Platform Designer as :mod:`.tcl` has tools."""

from pathlib import Path

from .tcl import Tool, options


class Quartus(Tool):
    """``quartus_sh`` and Platform Designer."""

    PACKAGES = ("::quartus::project", "::quartus::flow", "::quartus::report", "qsys")
    PANELS = ("Flow Summary", "Timing Analyzer||Slow 1100mV 85C Model||Slow 1100mV 85C Model Fmax Summary")

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder
        self.interfaces: dict[str, tuple[str, str]] = {}
        self.ports: dict[str, tuple[str, str, str, int]] = {}
        self.printed: list[str] = []

    def do_package(self, verb, *arguments):
        _, rest = options(arguments, ("-exact",))
        assert verb == "require"
        assert rest[0] in self.PACKAGES

    def do_project_open(self, *arguments):
        found, (name,) = options(arguments, (), ("-revision",))
        assert name == found["-revision"]
        assert (self.folder / f"{name}.qpf").is_file()
        assert (self.folder / f"{name}.qsf").is_file()

    def do_execute_flow(self, *arguments):
        options(arguments, ("-compile",))

    def _nothing(self, *arguments):
        assert not arguments

    do_load_report = do_unload_report = do_project_close = do_export_assignments = _nothing

    def do_get_report_panel_names(self):
        return list(self.PANELS)

    def do_get_report_panel_id(self, name):
        return str(self.PANELS.index(name))

    def do_get_number_of_rows(self, *arguments):
        options(arguments, (), ("-id",))
        return "2"

    def do_get_report_panel_row(self, *arguments):
        found, _ = options(arguments, (), ("-id", "-row"))
        return f"row {found['-row']}"

    def do_puts(self, text):
        self.printed.append(text)

    # Settings and constraints

    def do_set_global_assignment(self, *arguments):
        found, (value,) = options(arguments, (), ("-name", "-section_id"))
        if found["-name"].endswith("_FILE") and found["-name"] != "EDA_TEST_BENCH_FILE":
            assert (self.folder / value).is_file(), value

    def do_set_instance_assignment(self, *arguments):
        found, (value,) = options(arguments, (), ("-name", "-to"))
        assert (found["-name"], value) == ("VIRTUAL_PIN", "ON")

    def do_create_clock(self, *arguments):
        found, (port,) = options(arguments, (), ("-name", "-period"))
        assert float(found["-period"]) > 0
        assert port == "clk"

    def do_get_ports(self, name):
        return name

    def do_derive_clock_uncertainty(self):
        pass

    # Platform Designer

    def do_set_module_property(self, name, value):
        assert name in ("NAME", "VERSION", "DISPLAY_NAME", "DESCRIPTION", "GROUP", "EDITABLE")

    def do_add_fileset(self, name, kind, callback, label):
        assert kind in ("QUARTUS_SYNTH", "SIM_VERILOG")

    def do_set_fileset_property(self, fileset, name, value):
        assert name == "TOP_LEVEL"

    def do_add_fileset_file(self, name, kind, source, path, *attributes):
        assert kind in ("VERILOG", "OTHER")
        assert source == "PATH"
        assert set(attributes) <= {"TOP_LEVEL_FILE"}
        assert (self.folder / path).is_file(), path

    def do_add_interface(self, name, kind, end):
        assert kind in ("clock", "reset", "avalon_streaming", "conduit")
        assert end in ("start", "end")
        self.interfaces[name] = kind, end

    def do_set_interface_property(self, name, key, value):
        assert name in self.interfaces
        assert key in (
            "associatedClock", "associatedReset", "synchronousEdges", "dataBitsPerSymbol", "firstSymbolInHighOrderBits",
            "maxChannel", "readyLatency",
        )  # fmt: skip
        if key.startswith("associated"):
            assert value in self.interfaces

    def do_add_interface_port(self, interface, port, role, direction, bits):
        kind, end = self.interfaces[interface]
        if kind == "avalon_streaming":
            assert role in ("data", "valid", "ready", "startofpacket", "endofpacket", "empty")
            assert (direction == "Output") == ((end == "start") != (role == "ready"))
        self.ports[port] = interface, role, direction, int(bits)
