"""Registers move into multipliers and block RAMs, and the netlist goes on doing the same."""

import json
import random
from collections import Counter

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.array.multiplier import Multiplier
from hwgen.device.families.ecp5_netlist.absorb import GATES, absorb, read_ports, word_bits
from hwgen.device.families.ecp5_netlist.replicate import BLOCK_FAN_OUT, FAN_OUT, replicate
from hwgen.device.families.ecp5_netlist.retime import retime
from hwgen.device.synth import script
from hwgen.device.targets import device
from hwgen.graph.types import S8, U8
from hwgen.hdl.rtlil import to_rtlil
from hwgen.memory.rom import Rom
from hwgen.tools.yosys import run_yosys


class Product(wiring.Component):
    """``o`` is ``a * b`` three cycles ago, with registers that have a reset, or a product that is read ``twice``."""

    def __init__(self, reset: bool = False, twice: bool = False):
        self.reset, self.twice = reset, twice
        super().__init__({"a": In(signed(9)), "b": In(signed(9)), "o": Out(signed(18)), "early": Out(signed(18))})

    def elaborate(self, platform):
        m, late = Module(), Signal(signed(18), reset_less=True)
        a, b = (Signal(signed(9), reset_less=not self.reset) for _ in range(2))
        m.d.sync += [a.eq(self.a), b.eq(self.b), late.eq(a * b), self.o.eq(late)]
        if self.twice:
            m.d.comb += self.early.eq(a * b)
        return m


class Weighted(wiring.Component):
    """A product with a word of a deep ROM."""

    def __init__(self):
        self.rom = Deep(3000, 8)
        super().__init__({"address": In(range(3000)), "a": In(signed(8)), "o": Out(signed(16))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.rom = rom = self.rom
        a, product = Signal(signed(8), reset_less=True), Signal(signed(16), reset_less=True)
        m.d.comb += [rom.address.eq(self.address), self.o.eq(product)]
        m.d.sync += [a.eq(self.a), product.eq(a * rom.o.as_signed())]
        return m


def synthesised(component: wiring.Component) -> dict:
    """The netlist for ECP5."""
    commands = script(to_rtlil(component, "top"), "top", device("lfe5u-85f")) + "write_json netlist.json\n"
    run = run_yosys(commands, inputs={"design": to_rtlil(component, "top")}, outputs=["netlist.json"])
    return json.loads(run.files["netlist.json"])


def cells(netlist: dict) -> Counter:
    return Counter(cell["type"] for cell in netlist["modules"]["top"]["cells"].values())


class Netlist:
    """Gates, and flip-flops, multipliers and block RAMs as they are clocked: what is in a block RAM is any function of
    its address."""

    def __init__(self, netlist: dict):
        self.ports, self.cells = (netlist["modules"]["top"][kind] for kind in ("ports", "cells"))
        self.nets: dict = {"0": 0, "1": 1, "x": 0}
        self.inside = {name: dict.fromkeys(("A", "B", "P", "DOA", "DOB"), 0) for name in self.cells}
        self.gates = [cell for cell in self.cells.values() if cell["type"] in GATES]

    def word(self, cell: dict, port: str, width: int) -> int:
        bits = [cell["connections"].get(f"{port}{n}", ["0"])[0] for n in range(width)]
        return sum(self.nets.get(bit, 0) << n for n, bit in enumerate(bits))

    def give(self, cell: dict, port: str, width: int, value: int) -> None:
        for n in range(width):
            self.nets[cell["connections"].get(f"{port}{n}", [None])[0]] = value >> n & 1

    def product(self, cell: dict, state: dict) -> int:
        held = cell["parameters"].get("REG_INPUTA_CLK") == "CLK0"
        a, b = (state[port] if held else self.word(cell, port, 18) for port in "AB")
        a, b = (
            value - (value >> 17 << 18) * (cell["connections"][f"SIGNED{port}"] == ["1"])
            for port, value in (("A", a), ("B", b))
        )
        return a * b & (1 << 36) - 1

    def gate(self, cell: dict) -> int:
        """What a LUT, or a multiplexer of LUTs, makes of its inputs."""
        value = {port: self.nets.get(bits[0], 0) for port, bits in cell["connections"].items()}
        if cell["type"] == "LUT4":
            return int(cell["parameters"]["INIT"], 2) >> sum(value[port] << n for n, port in enumerate("ABCD")) & 1
        if cell["type"] == "PFUMX":
            return value["ALUT"] if value["C0"] else value["BLUT"]
        return value["D1"] if value["SD"] else value["D0"]

    def settle(self) -> None:
        """Gates until none changes: they lie at most a few behind each other."""
        for _ in range(10):
            found = {cell["connections"]["Z"][0]: self.gate(cell) for cell in self.gates}
            if all(self.nets.get(net) == value for net, value in found.items()):
                return
            self.nets.update(found)
        raise AssertionError("gates in a ring")

    def clock(self, inputs: dict[str, int]) -> dict[str, int]:
        """One cycle: what comes out during it."""
        for name, value in inputs.items():
            for n, bit in enumerate(self.ports[name]["bits"]):
                self.nets[bit] = value >> n & 1
        for name, cell in self.cells.items():
            if cell["type"] == "MULT18X18D":
                kept = cell["parameters"].get("REG_OUTPUT_CLK") == "CLK0"
                state = self.inside[name]
                self.give(cell, "P", 36, state["P"] if kept else self.product(cell, state))
        self.settle()
        outputs = {
            name: sum(self.nets.get(bit, 0) << n for n, bit in enumerate(port["bits"]))
            for name, port in self.ports.items()
            if port["direction"] == "output"
        }
        for update in [self.edge(name, cell) for name, cell in self.cells.items()]:
            update()
        return outputs

    def edge(self, name: str, cell: dict):
        """What the cell does at the clock's edge, decided before any other does it."""
        state, connections = self.inside[name], cell["connections"]
        if cell["type"] == "TRELLIS_FF":
            if cell["parameters"]["CEMUX"].strip() == "CE" and not self.nets.get(connections["CE"][0], 0):
                return lambda: None
            value = self.nets.get(connections["DI"][0], 0) & ~self.nets.get((connections.get("LSR") or ["0"])[0], 0)
            return lambda: self.nets.update({connections["Q"][0]: value})
        if cell["type"] == "MULT18X18D":
            new = {port: self.word(cell, port, 18) for port in "AB"} | {"P": self.product(cell, state)}
            return lambda: state.update(new)
        if not read_ports(cell):
            return lambda: None
        turns = [self.read(cell, port, state) for port in read_ports(cell)]
        return lambda: [turn() for turn in turns]

    def read(self, cell: dict, port, state: dict):
        """What one port of a block RAM does at the clock's edge: another word for every address and block."""
        address = self.word(cell, f"AD{port.clock[-1]}", 14)
        read = random.Random(f"{address} {cell['parameters']['INITVAL_00']}").getrandbits(36)
        (late,) = {cell["parameters"][mode] == "OUTREG" for mode in port.modes}
        before, bits = state[port.data[0]], word_bits(cell, port)
        clocked, moves = (
            self.nets.get(cell["connections"].get(name, ["1"])[0], 0) for name in (port.enable[1:], port.enable)
        )
        read, moves = read if clocked else before, moves or not late

        def turn():
            state[port.data[0]] = read
            given = before if late else read
            self.nets.update({net: given >> n & 1 for n, (_, net) in enumerate(bits) if moves})

        return turn


class Deep(wiring.Component):
    """A ROM that is deeper than a block RAM, with a register behind its own."""

    def __init__(self, depth: int, width: int):
        self.words, self.width = [random.Random(n).getrandbits(width) for n in range(depth)], width
        super().__init__({"address": In(range(depth)), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.rom = rom = Rom(self.words, self.width)
        m.d.comb += rom.address.eq(self.address)
        m.d.sync += self.o.eq(rom.data)
        return m


class Onward(Deep):
    """A block RAM that is read in some cycles; what it gives moves on in some others, in all unless ``gated``."""

    def __init__(self, width: int, gated: bool):
        super().__init__(512, width)
        self.gated = gated

    def elaborate(self, platform):
        m = Module()
        m.submodules.store = store = memory.Memory(shape=self.width, depth=512, init=self.words)
        read = store.read_port()
        take, onward = (self.address[bit] ^ self.address[bit + 4] for bit in (0, 1))
        m.d.comb += [read.addr.eq(self.address), read.en.eq(take)]
        held = Signal(self.width, reset_less=True)
        with m.If(onward if self.gated else 1):
            m.d.sync += held.eq(read.data)
        m.d.comb += self.o.eq(held)
        return m


class DeepWithReset(Deep):
    """The same, and the only register has a reset."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.store = store = memory.Memory(shape=self.width, depth=len(self.words), init=self.words)
        read = store.read_port()
        m.d.comb += read.addr.eq(self.address)
        m.d.sync += self.o.eq(read.data)
        return m


def responses(netlist: dict, cycles: int = 60) -> list[dict[str, int]]:
    chosen, run = random.Random(1), Netlist(netlist)
    names = {name: len(port["bits"]) for name, port in run.ports.items() if port["direction"] == "input"}
    fixed = {"clk": 0, "rst": 0}
    return [
        run.clock({name: fixed.get(name, chosen.getrandbits(width)) for name, width in names.items()})
        for _ in range(cycles)
    ]


@pytest.mark.parametrize(
    ("component", "left", "modes"),
    [
        (Multiplier(U8, S8).element(), 0, {"REG_INPUTA_CLK", "REG_INPUTB_CLK", "REG_OUTPUT_CLK"}),
        (Rom([n * 77 % 65521 for n in range(512)], 16), 0, {"REGMODE_A"}),
        (Product(), 18, {"REG_INPUTA_CLK", "REG_INPUTB_CLK", "REG_OUTPUT_CLK"}),
        (Product(reset=True), 36, {"REG_OUTPUT_CLK"}),
        (Product(twice=True), 36, {"REG_INPUTA_CLK", "REG_INPUTB_CLK"}),
    ],
    ids=["element", "rom", "product", "reset", "twice"],
)
def test_registers_move_and_nothing_else_changes(component, left, modes):
    before = synthesised(component)
    after = absorb(before)
    counts = cells(after)
    assert counts["TRELLIS_FF"] == left < cells(before)["TRELLIS_FF"]
    (block,) = (cell for cell in after["modules"]["top"]["cells"].values() if cell["type"] in ("MULT18X18D", "DP16KD"))
    assert {name for name, value in block["parameters"].items() if value in ("CLK0", "OUTREG")} == modes
    assert responses(after) == responses(before)
    assert responses(absorb(after)) == responses(before)
    assert len({str(response) for response in responses(before)}) > 30


@pytest.mark.parametrize(
    ("depth", "width"),
    [(512, 36), (3000, 24), *(pytest.param(*shape, marks=pytest.mark.slow) for shape in ((1500, 40), (20000, 8)))],
)
def test_words_of_deep_roms_leave_the_block_ram_through_its_register(depth, width):
    before = synthesised(Deep(depth, width))
    after = absorb(retime(before))
    blocks = [cell for cell in after["modules"]["top"]["cells"].values() if cell["type"] == "DP16KD"]
    assert len(blocks) > 1 or depth == 512
    read = [(cell, port) for cell in blocks for port in read_ports(cell) if cell["connections"][port.clock] != ["0"]]
    assert all({cell["parameters"][mode] for mode in port.modes} == {"OUTREG"} for cell, port in read)
    assert responses(after)[3:] == responses(before)[3:]
    assert len({str(response) for response in responses(before)}) > 30
    assert cells(after)["LUT4"] == cells(before)["LUT4"]


@pytest.mark.parametrize(("width", "gated"), [(8, True), (36, True), (36, False)])
def test_words_of_a_queue_and_of_a_line_leave_block_ram_through_its_register(width, gated):
    """Of a queue it stores what is moved on only; a line is read a word ahead, and its register always stores."""
    before = synthesised(Onward(width, gated))
    after = absorb(before)
    assert (cells(before)["TRELLIS_FF"], cells(after)["TRELLIS_FF"]) == (width, 0)
    (block,) = (cell for cell in after["modules"]["top"]["cells"].values() if cell["type"] == "DP16KD")
    (port,) = (port for port in read_ports(block) if block["connections"][port.clock] != ["0"])
    assert {block["parameters"][mode] for mode in port.modes} == {"OUTREG"}
    assert (block["connections"][port.enable] == ["1"]) != gated
    assert responses(after) == responses(before)
    assert len({str(response) for response in responses(before)}) > 10


@pytest.mark.slow
def test_a_register_between_gates_and_a_multiplier_stays():
    """The ROM's own is in the block RAM, and the operand's would be the only one behind the gates."""
    before = synthesised(Weighted())
    after = absorb(retime(before))
    (block,) = (cell for cell in after["modules"]["top"]["cells"].values() if cell["type"] == "MULT18X18D")
    assert "CLK0" not in (block["parameters"].get(f"REG_INPUT{operand}_CLK") for operand in "AB")
    assert block["parameters"]["REG_OUTPUT_CLK"] == "CLK0"
    assert responses(after)[4:] == responses(before)[4:]


@pytest.mark.slow
def test_registers_with_a_reset_stay_where_they_are():
    before = synthesised(DeepWithReset(3000, 8))
    assert cells(before)["DP16KD"] > 1
    assert retime(before) == before


class Masked(wiring.Component):
    """A register that many of ``width`` others read, and a LUT that is the enable of the rest."""

    def __init__(self, width: int):
        super().__init__({"i": In(width), "enable": In(1), "other": In(1), "o": Out(width)})

    def elaborate(self, platform):
        m, enable = Module(), Signal(reset_less=True)
        half = len(self.i) // 2
        m.d.sync += [enable.eq(self.enable), self.o[:half].eq(self.i[:half] & enable.replicate(half))]
        with m.If(enable & self.other):
            m.d.sync += self.o[half:].eq(self.i[half:])
        return m


@pytest.mark.slow
def test_registers_and_luts_that_many_read_are_copied():
    before = synthesised(Masked(300))
    after = replicate(before)
    read = Counter(
        bit
        for cell in after["modules"]["top"]["cells"].values()
        for port, bits in cell["connections"].items()
        if cell["port_directions"][port] == "input" and port not in ("CLK", "LSR")
        for bit in bits
        if isinstance(bit, int)
    )
    assert max(read.values()) <= FAN_OUT
    assert all(cells(after)[kind] > cells(before)[kind] for kind in ("TRELLIS_FF", "LUT4"))
    assert responses(after) == responses(before)


def test_an_address_has_copies_for_each_few_block_rams():
    """What else reads it keeps the first."""
    register = {"type": "TRELLIS_FF", "connections": {"Q": [1]}, "port_directions": {"Q": "output"}}
    rams = {f"ram{n:02}": {"type": "DP16KD", "connections": {"ADA0": [1]}} for n in range(2 * BLOCK_FAN_OUT + 1)}
    next_one = {"type": "LUT4", "connections": {"A": [1], "Z": [2]}, "port_directions": {"A": "input", "Z": "output"}}
    readers = {name: {**ram, "port_directions": {"ADA0": "input"}} for name, ram in rams.items()}
    before = {"modules": {"top": {"ports": {}, "cells": {"address": register, "next": next_one, **readers}}}}
    after = replicate(before)["modules"]["top"]["cells"]
    copies = Counter(cell["connections"]["ADA0"][0] for name, cell in after.items() if name in rams)
    assert sorted(copies.values()) == [1, BLOCK_FAN_OUT, BLOCK_FAN_OUT]
    assert (after["next"]["connections"]["A"], copies[1]) == ([1], 0)
