"""From a design to a bitstream with open tools: Yosys, nextpnr and the family's packer, all from PyPI."""

import json
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

from hwgen.accelerator import Accelerator
from hwgen.board.boards import Board
from hwgen.board.placements import Placed, Placements
from hwgen.board.top import BoardTop
from hwgen.device.clocks import Clock
from hwgen.device.flow import Flow
from hwgen.device.synth import READ_VERILOG, preparation
from hwgen.device.targets import device as find_device
from hwgen.graph.errors import FitError, InputError
from hwgen.link.capacity import link_rate
from hwgen.link.identity import identity
from hwgen.link.messages import Loads
from hwgen.link.top import LinkTop
from hwgen.link.uart import check_rate
from hwgen.tools.package_tool import ToolError
from hwgen.tools.yosys import YosysError, run_yosys
from hwgen.top.axi import CoreInstance

TOP = "hwgen_board"
#: Placements that are tried for a clock.
PLACEMENTS = 4
Tell = Callable[..., None]


#: Passes of Yosys that are worth telling, and the share of the time that is over when they begin.
_PASSES = {"proc": 0.02, "flatten": 0.1, "fsm": 0.2, "memory": 0.3, "memory_map": 0.4, "abc": 0.75, "abc9": 0.75}


@dataclass(frozen=True)
class Implementation:
    """A design on ``board``, placed and routed. ``clock`` is what its PLL makes, ``reached`` what the routed design
    allows; ``used`` holds (used, available) of every resource; ``link`` is how many frames a second its
    serial port takes at most; ``seconds`` what each step took; ``files`` the bitstream by name."""

    board: Board
    clock: Clock
    reached: Clock
    baud: int
    link: float
    design: bytes
    used: Mapping[str, tuple[int, int]]
    seconds: Mapping[str, float]
    files: Mapping[str, bytes]

    @property
    def data(self) -> dict[str, Any]:
        """For report.json. How long it took is not in it, so that reports of the same design are the same."""
        return {
            "board": self.board.name,
            "clock_hz": self.clock.hz,
            "reached_hz": self.reached.hz,
            "baud": self.baud,
            "link_frames_per_second": self.link,
            "design": self.design.hex(),
            "bitstream": next(iter(self.files)),
            "load": self.board.load,
            "resources": [
                {"resource": name, "used": used, "available": available}
                for name, (used, available) in self.used.items()
            ],
        }


class ClockMissed(FitError):
    """No placement reached the clock; ``lower`` is one that the best of them leaves some room below."""

    def __init__(self, board: Board, asked: Clock, best: Clock, placements: int):
        self.lower = Clock.of_mhz(int(best.mhz * 0.95))
        super().__init__(
            f"routed on {board.name}, the design reaches {best.mhz:.1f} MHz of the {asked.mhz:g} asked for"
            f"{_tries(placements)}: build it with --clock {self.lower.mhz:g}, with more --placements, or with fewer "
            "--multipliers"
        )


def check_tools(board: Board) -> None:
    """Raise InputError where something that ``board`` needs is not installed."""
    board.make_platform()
    board.flow.route.check()
    board.flow.pack.check()


def implement(made: Accelerator, board: Board, baud: int | None = None, placements: int = PLACEMENTS) -> Implementation:
    """Synthesise, place, route and pack ``made`` for ``board`` at its clock.

    Where a placement does not reach the clock, others are tried: the first of ``placements`` that does is taken.

    Raises :class:`hwgen.FitError` where it does not fit, :class:`ClockMissed` where it does not reach the clock,
    InputError for missing tools, for a clock or a rate that cannot be, and where weights are to come from DRAM.
    """
    if made.plan.memories:
        raise InputError(
            f"the design reads weights from DRAM, to which no bitstream for {board.name} connects it; build without one"
        )
    with TemporaryDirectory(prefix="hwgen_bitstream_") as name:
        run = _Run.of(made, board, Path(name), baud)
        run.synthesise()
        reached, used = run.route(placements)
        content = run.packed()
    return Implementation(
        board=board,
        clock=run.clock,
        reached=reached,
        baud=run.baud,
        link=link_rate(run.baud, made.component),
        design=identity(made.plan),
        used=used,
        seconds=run.seconds,
        files={f"{made.name}.{board.flow.bitstream}": content},
    )


def place_once(made: Accelerator, board: Board, folder: Path, seed: int = 1) -> tuple[Placed, bytes]:
    """What :func:`implement` makes of placement ``seed`` in an empty ``folder``, whatever clock it reaches, and its
    bitstream. Raises as :func:`implement`, but for the clock."""
    run = _Run.of(made, board, folder)
    run.synthesise()
    run.constrain()
    placed = run.place(folder, seed, Event())
    return placed, run.packed()


@dataclass(frozen=True)
class _Run:
    """The steps in a folder of their own."""

    folder: Path
    board: Board
    platform: Any
    clock: Clock
    baud: int
    tell: Tell
    name: str
    core: Mapping[str, str]  # the accelerator's own files
    top: Mapping[str, str]  # those of what is around it, and its constraints
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, made: Accelerator, board: Board, folder: Path, baud: int | None = None) -> "_Run":
        """``made`` for ``board``; InputError for missing tools, and a clock or a rate that cannot be."""
        check_tools(board)
        pll = board.pll.setting(board.oscillator, made.clock)
        clock = made.device.clock(pll.output if pll else board.oscillator)
        baud = baud or board.rate(clock)
        check_rate(clock, baud)
        core, verilog = made.component, made.verilog
        number, loads = identity(made.plan), Loads.of(made.plan)
        link = LinkTop(CoreInstance(made.name, core), core.source, core.results, board.buffers, number, loads)
        platform = board.make_platform()
        plan = platform.prepare(BoardTop(board, link, pll, clock, baud), TOP)
        kinds = (".il", ".lpf", ".pcf", ".cst")
        top = {name: _text(text) for name, text in plan.files.items() if name.endswith(kinds)}
        return cls(folder, board, platform, clock, baud, made.progress, made.name, {**verilog.files(made.name)}, top)

    @property
    def flow(self) -> Flow:
        return self.board.flow

    def _begin(self, step: str) -> float:
        self.tell(step)
        return time.monotonic()

    def synthesise(self) -> None:
        begin = self._begin("synthesising")
        device = find_device(self.board.device)
        family = device.family
        script = [f"{READ_VERILOG} {self.name}.v", f"read_rtlil {TOP}.il", f"hierarchy -top {TOP}", "proc"]
        script += [*preparation(family), f"{family.synthesis(TOP)} -json {TOP}.json"]
        given = {f"{TOP}.il": self.top[f"{TOP}.il"], **self.core}
        told = lambda line: _tell_pass(line, self.tell)  # noqa: E731
        try:
            run = run_yosys("\n".join(script), inputs=given, outputs=[f"{TOP}.json"], on_line=told)
        except YosysError as error:
            raise FitError(f"synthesis for {self.board.name}: {error}") from error
        netlist = run.files[f"{TOP}.json"]
        if self.flow.improved:
            netlist = json.dumps(self.flow.improved(json.loads(netlist), device.multipliers))
        (self.folder / f"{TOP}.json").write_text(netlist, encoding="utf-8")
        self.seconds["synthesis"] = time.monotonic() - begin

    def constrain(self) -> None:
        """Write down the pins and clocks of the board."""
        constraints = f"{TOP}.{self.flow.constraints}"
        (self.folder / constraints).write_text(self.top[constraints], encoding="utf-8")

    def route(self, placements: int) -> tuple[Clock, dict[str, tuple[int, int]]]:
        """The clock that was reached, and what is used of each resource."""
        begin = self._begin("placing")
        self.constrain()
        found = Placements(self.folder, self.place, self.clock, lambda made: self._tell_missed(made, placements))
        best = found.best(placements)
        if best.reached < self.clock:
            raise ClockMissed(self.board, self.clock, best.reached, placements)
        shutil.copy(best.folder / f"{TOP}.{self.flow.routed}", self.folder)
        used = {
            self.flow.resources[cell]: (count["used"], count["available"])
            for cell, count in best.report["utilization"].items()
            if cell in self.flow.resources
        }
        self.seconds["place and route"] = time.monotonic() - begin
        return best.reached, used

    def place(self, folder: Path, seed: int, stop: Event) -> Placed:
        """Place and route the netlist in ``folder``; its report has what the router does not time, in ns."""
        common = ["--json", f"{TOP}.json", "--report", "report.json", "--timing-allow-fail"]
        common += ["--freq", f"{self.clock.mhz:.3f}", "--seed", str(seed)]
        if self.flow.untimed:
            common += ["--sdf", f"{TOP}.sdf"]
        told = (lambda line: _tell_place(line, self.tell)) if seed == 1 else None
        try:
            self.flow.route.run(folder, [*self.flow.arguments(self.platform, TOP), *common], told, stop)
        except ToolError as error:
            raise FitError(*_crowded(error.log, self.board) or error.problems) from error
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        reached = _reached(report["fmax"], self.clock)
        if self.flow.untimed:
            beside = self.flow.untimed((folder / f"{TOP}.sdf").read_text(encoding="utf-8"))
            reached = min(reached, Clock.of_mhz(1e3 / beside)) if beside else reached
            report["untimed"] = beside
        return Placed(folder, reached, report)

    def _tell_missed(self, best: Clock, placements: int) -> None:
        if placements > 1:
            self.tell(f"placing anew, {best.mhz:.1f} of {self.clock} so far")

    def packed(self) -> bytes:
        begin = self._begin("packing the bitstream")
        source, target = f"{TOP}.{self.flow.routed}", f"{TOP}.{self.flow.bitstream}"
        self.flow.pack.run(self.folder, self.flow.packing(self.platform, source, target))
        self.seconds["packing"] = time.monotonic() - begin
        return (self.folder / target).read_bytes()


def _tries(placements: int) -> str:
    return f" in the best of {placements} placements" if placements > 1 else ""


def _text(content: str | bytes) -> str:
    return content if isinstance(content, str) else content.decode()


def _reached(fmax: Mapping[str, Mapping[str, float]], clock: Clock) -> Clock:
    """The clock that all domains with the design's clock allow."""
    rates = [entry["achieved"] for entry in fmax.values() if entry["constraint"] > 0.98 * clock.mhz]
    return Clock.of_mhz(min(rates))


def _crowded(log: str, board: Board) -> list[str]:
    """A line for each resource of which the device has too few."""
    rows = re.findall(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%", log, re.MULTILINE)
    called = board.flow.resources
    return [
        f"{board.name} has {int(has):,} {called.get(cell, cell)}, the design with its link takes {int(used):,}: "
        "give fewer --multipliers, or a board with a larger device"
        for cell, used, has in rows
        if int(used) > int(has)
    ]


def _tell_pass(line: str, tell: Tell) -> None:
    found = re.match(r"\d+\.\d+\. Executing (\w+) pass", line)
    if found and found[1].lower() in _PASSES:
        tell("synthesising", _PASSES[found[1].lower()])


def _tell_place(line: str, tell: Tell) -> None:
    if line.startswith("Info: Routing"):
        tell("routing")
