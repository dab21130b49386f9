"""Vivado as :mod:`.tcl` has tools."""

import re
from pathlib import Path

from .tcl import Tool, options

MASTER, SLAVE = "master", "slave"
CLOCK, RESET, CLOCK_OUT, RESET_OUT = "clock", "reset", "clock out", "reset out"
FLAG, FLAG_OUT = "flag", "flag out"

#: What a block design may be made of: pins, interfaces, properties. From the product guides of AMD (PG021 AXI DMA,
#: PG144 GPIO, PG247 SmartConnect, PG164 reset, PG082 and PG201 processors).
IPS = {
    "processing_system7": (
        {"FCLK_CLK0": CLOCK_OUT, "FCLK_RESET0_N": RESET_OUT, "M_AXI_GP0_ACLK": CLOCK, "S_AXI_HP0_ACLK": CLOCK},
        {"M_AXI_GP0": MASTER, "S_AXI_HP0": SLAVE},
        {"PCW_FPGA0_PERIPHERAL_FREQMHZ", "PCW_USE_M_AXI_GP0", "PCW_USE_S_AXI_HP0", "PCW_S_AXI_HP0_DATA_WIDTH"},
    ),
    "zynq_ultra_ps_e": (
        {"pl_clk0": CLOCK_OUT, "pl_resetn0": RESET_OUT, "maxihpm0_fpd_aclk": CLOCK, "saxihp0_fpd_aclk": CLOCK},
        {"M_AXI_HPM0_FPD": MASTER, "S_AXI_HP0_FPD": SLAVE},
        {
            "PSU__FPGA_PL0_ENABLE", "PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ", "PSU__USE__M_AXI_GP0", "PSU__USE__M_AXI_GP1",
            "PSU__USE__M_AXI_GP2", "PSU__USE__S_AXI_GP2", "PSU__SAXIGP2__DATA_WIDTH",
        },
    ),
    "proc_sys_reset": (
        {
            "slowest_sync_clk": CLOCK, "ext_reset_in": RESET, "peripheral_aresetn": RESET_OUT,
            "peripheral_reset": RESET_OUT,
        },
        {},
        set(),
    ),
    "smartconnect": ({"aclk": CLOCK, "aresetn": RESET}, {}, {"NUM_SI", "NUM_MI"}),
    "axi_gpio": (
        {"s_axi_aclk": CLOCK, "s_axi_aresetn": RESET, "gpio_io_i": FLAG},
        {"S_AXI": SLAVE},
        {"C_GPIO_WIDTH", "C_ALL_INPUTS"},
    ),
    "axi_dma": (
        {"s_axi_lite_aclk": CLOCK, "axi_resetn": RESET},
        {"S_AXI_LITE": SLAVE},
        {
            "c_include_sg", "c_sg_include_stscntrl_strm", "c_sg_length_width", "c_addr_width", "c_include_mm2s",
            "c_include_s2mm", "c_m_axis_mm2s_tdata_width", "c_m_axi_mm2s_data_width", "c_mm2s_burst_size",
            "c_s_axis_s2mm_tdata_width", "c_m_axi_s2mm_data_width", "c_s2mm_burst_size",
        },
    ),
}  # fmt: skip
HIGH = {"accelerator/rst"}  # resets that are active high


class Vivado(Tool):
    """A project, and a block design of which every pin and interface must exist and be joined once.

    ``accelerator``: the pins, interfaces and widths of the core that ``component.xml`` describes.
    """

    def __init__(self, folder: Path, accelerator, boards=(), slack="0.250"):
        super().__init__()
        self.folder, self.accelerator, self.boards, self.slack = folder, accelerator, list(boards), slack
        self.cells: dict[str, str] = {}
        self.properties: dict[str, dict[str, str]] = {}
        self.nets: dict[str, str] = {}  # load -> driver
        self.joined: dict[str, str] = {}
        self.offsets: dict[str, int] = {}
        self.added: list[str] = []
        self.work: Path | None = None
        self.validated = False

    # Projects

    def do_create_project(self, *arguments):
        found, rest = options(arguments, ("-force", "-in_memory"), ("-part",))
        assert found["-part"]
        if "-in_memory" not in found:
            _, place = rest
            self.work = Path(place)
            (self.work / "runs").mkdir(parents=True)
            (self.work / "runs" / "system_wrapper.bit").touch()

    def do_close_project(self):
        pass

    def do_current_project(self):
        return "project"

    def do_get_board_parts(self, *arguments):
        _, (pattern,) = options(arguments, ("-quiet",))
        return [board for board in self.boards if re.fullmatch(pattern.replace("*", ".*"), board)]

    def do_add_files(self, *arguments):
        found, rest = options(arguments, ("-norecurse",), ("-fileset",))
        for path in (path for item in rest for path in self.split(item)):
            assert Path(path).is_file(), f"{path} does not exist"
            self.added.append(f"{found.get('-fileset', 'sources_1')}/{Path(path).name}")

    def do_get_files(self, *arguments):
        found, (pattern,) = options(arguments, (), ("-of_objects",))
        fileset = found.get("-of_objects", "sources_1")
        names = [name for name in self.added if re.fullmatch(f"{fileset}/{pattern.replace('*', '.*')}", name)]
        assert names, f"no files {pattern} in {fileset}"
        return names

    def do_get_filesets(self, name):
        assert name in ("sources_1", "sim_1", "constrs_1")
        return name

    def do_current_fileset(self):
        return "sources_1"

    def do_update_compile_order(self, *arguments):
        options(arguments, (), ("-fileset",))

    def do_set_property(self, *arguments):
        found, rest = options(arguments, (), ("-dict", "-name", "-value", "-objects"))
        if "-dict" in found:
            words = self.split(found["-dict"])
            pairs, objects = list(zip(words[::2], words[1::2], strict=True)), rest
        elif "-name" in found:
            pairs, objects = [(found["-name"], found["-value"])], [found["-objects"]]
        else:
            name, value, *objects = rest
            pairs = [(name, value)]
        for target in (each for item in objects for each in self.split(item)):
            for name, value in pairs:
                if target in self.cells:
                    assert name.removeprefix("CONFIG.") in IPS[self.cells[target]][2], f"{target} has no {name}"
                self.properties.setdefault(target, {})[name.removeprefix("CONFIG.")] = value

    def do_get_property(self, name, target):
        return {"PROGRESS": "100%", "DIRECTORY": str((self.work or self.folder) / "runs"), "SLACK": self.slack}[name]

    # IP

    def do_update_ip_catalog(self, *arguments):
        options(arguments, ("-rebuild",))

    def do_ipx__open_core(self, path):
        assert Path(path).name == "component.xml"
        assert Path(path).is_file()
        return "core"

    def _core(self, core):
        assert core == "core"

    do_ipx__create_xgui_files = do_ipx__update_checksums = do_ipx__check_integrity = _core
    do_ipx__save_core = do_ipx__unload_core = _core

    def do_ipx__archive_core(self, path, core):
        assert path.endswith(".zip")

    # Block design

    def do_create_bd_design(self, name):
        assert name == "system"

    def do_create_bd_cell(self, *arguments):
        found, (name,) = options(arguments, (), ("-type", "-vlnv"))
        assert found["-type"] == "ip"
        vendor, library, ip, _version = found["-vlnv"].split(":")
        assert name not in self.cells
        if name == "accelerator":
            assert (vendor, library, ip) == ("hwgen", "accelerators", self.accelerator["name"])
        else:
            assert (vendor, library) == ("xilinx.com", "ip")
            assert ip in IPS
        self.cells[name] = ip
        return name

    def do_apply_bd_automation(self, *arguments):
        found, (cell,) = options(arguments, (), ("-rule", "-config"))
        assert found["-rule"] == f"xilinx.com:bd_rule:{self.cells[cell]}"
        words = self.split(found["-config"])
        assert dict(zip(words[::2], words[1::2], strict=True))["apply_board_preset"] in ("0", "1")

    def pins(self, cell):
        if cell == "accelerator":
            return self.accelerator["pins"]
        pins = dict(IPS[self.cells[cell]][0])
        if self.cells[cell] == "axi_dma":
            mine = self.properties[cell]
            pins |= {f"m_axi_{way}_aclk": CLOCK for way in ("mm2s", "s2mm") if mine[f"c_include_{way}"] == "1"}
        return pins

    def interfaces(self, cell):
        """By name: which end it is of, and the bits of a stream."""
        if cell == "accelerator":
            return self.accelerator["interfaces"]
        found = {name: (end, None) for name, end in IPS[self.cells[cell]][1].items()}
        mine = self.properties.get(cell, {})
        if self.cells[cell] == "smartconnect":
            found |= {f"S{n:02d}_AXI": (SLAVE, None) for n in range(int(mine["NUM_SI"]))}
            found |= {f"M{n:02d}_AXI": (MASTER, None) for n in range(int(mine["NUM_MI"]))}
        if self.cells[cell] == "axi_dma":
            assert mine["c_include_sg"] == "0"
            if mine["c_include_mm2s"] == "1":
                assert int(mine["c_m_axi_mm2s_data_width"]) >= int(mine["c_m_axis_mm2s_tdata_width"])
                found |= {"M_AXI_MM2S": (MASTER, None), "M_AXIS_MM2S": (MASTER, mine["c_m_axis_mm2s_tdata_width"])}
            if mine["c_include_s2mm"] == "1":
                assert int(mine["c_m_axi_s2mm_data_width"]) >= int(mine["c_s_axis_s2mm_tdata_width"])
                found |= {"M_AXI_S2MM": (MASTER, None), "S_AXIS_S2MM": (SLAVE, mine["c_s_axis_s2mm_tdata_width"])}
        return found

    def _known(self, names, of):
        for name in (each for item in names for each in self.split(item)):
            cell, _, rest = name.partition("/")
            assert rest in of(cell), f"{name} does not exist"
            yield name

    def do_get_bd_pins(self, *names):
        return list(self._known(names, self.pins))

    def do_get_bd_intf_pins(self, name):
        return next(self._known([name], self.interfaces))

    def do_connect_bd_net(self, *names):
        pins = [(name, self.pins(name.partition("/")[0])[name.partition("/")[2]]) for name in names]
        ((driver, kind),) = [(name, kind) for name, kind in pins if kind.endswith("out")]
        for name, what in pins:
            if name != driver:
                assert f"{what} out" == kind, f"{driver} drives {name}"
                assert name not in self.nets, f"{name} is driven twice"
                assert kind != RESET_OUT or (name in HIGH) == (driver == "resets/peripheral_reset"), (
                    f"{name} is inverted"
                )
                self.nets[name] = driver

    def do_connect_bd_intf_net(self, *names):
        ends = [self.interfaces(name.partition("/")[0])[name.partition("/")[2]] for name in names]
        assert sorted(end for end, _ in ends) == [MASTER, SLAVE], names
        assert ends[0][1] == ends[1][1], f"{names} have different widths"
        for one, other in (names, names[::-1]):
            assert one not in self.joined, f"{one} is joined twice"
            self.joined[one] = other

    def do_get_bd_addr_spaces(self, name):
        assert name == "ps/Data"
        return name

    def do_get_bd_addr_segs(self, name):
        cell, interface, segment = name.split("/")
        assert interface in self.interfaces(cell)
        assert segment == "Reg"
        return name

    def do_assign_bd_address(self, *arguments):
        found, rest = options(arguments, ("-force",), ("-offset", "-range", "-target_address_space"))
        if rest:
            assert found["-range"] == "64K"
            self.offsets[rest[0].partition("/")[0]] = int(found["-offset"], 16)

    def do_validate_bd_design(self):
        """Everything is joined; addresses are apart and in reach."""
        for cell in self.cells:
            for pin, kind in self.pins(cell).items():
                assert kind.endswith("out") or f"{cell}/{pin}" in self.nets, f"{cell}/{pin} is open"
            for interface in self.interfaces(cell):
                assert f"{cell}/{interface}" in self.joined, f"{cell}/{interface} is open"
        assert len({driver for driver in self.nets.values() if driver.startswith("ps/")}) == 2
        assert len(set(self.offsets.values())) == len(self.offsets), "addresses overlap"
        assert set(self.offsets) == {cell for cell, ip in self.cells.items() if ip in ("axi_dma", "axi_gpio")}
        self.validated = True

    def do_save_bd_design(self):
        assert self.validated
        place = self.work / f"{self.accelerator['project']}.gen/sources_1/bd/system/hw_handoff"
        place.mkdir(parents=True)
        (place / "system.hwh").touch()
        self.added.append("sources_1/system.bd")

    def do_make_wrapper(self, *arguments):
        found, _ = options(arguments, ("-top",), ("-files",))
        assert found["-files"]
        wrapper = self.work / "system_wrapper.v"
        wrapper.touch()
        return str(wrapper)

    # Runs

    def do_get_runs(self, name):
        assert name in ("synth_1", "impl_1")
        return name

    def do_launch_runs(self, *arguments):
        found, (run,) = options(arguments, (), ("-jobs", "-to_step"))
        assert run in ("synth_1", "impl_1")
        assert found.get("-to_step", "route_design") in ("route_design", "write_bitstream")

    def do_wait_on_run(self, run):
        pass

    do_open_run = do_wait_on_run

    def do_report_timing_summary(self, *arguments):
        options(arguments, (), ("-file",))

    def do_report_utilization(self, *arguments):
        options(arguments, ("-hierarchical",), ("-file",))

    def do_write_hw_platform(self, *arguments):
        options(arguments, ("-fixed", "-include_bit", "-force"), ("-file",))

    def do_get_timing_paths(self, *arguments):
        options(arguments, ("-setup",), ("-max_paths",))
        return "path"

    def do_puts(self, *arguments):
        pass
