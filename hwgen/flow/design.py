"""The flow, from a trained network to files, in the order in which it happens."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.blocks import OPERATORS
from hwgen.dataflow.activity import Activity, activity
from hwgen.dataflow.fit import FitTable, fit_table
from hwgen.dataflow.pipeline import Pipeline
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.plan_file import check_layers, plan_file
from hwgen.dataflow.schedule import Schedule, schedule
from hwgen.device.clocks import usual_clock
from hwgen.device.targets import Device
from hwgen.device.targets import device as find_device
from hwgen.flow.layer_tensors import layer_results, outputs_by_layers, wide_by_layers
from hwgen.flow.planning import binds, check_given, choose_plan
from hwgen.flow.settings import settings_data
from hwgen.frames.inputs import USUAL, FrameSpec, Preparation
from hwgen.frames.load import CALIBRATION_FRAMES, load_frames
from hwgen.graph import golden
from hwgen.graph.cut import host_nodes, loose_ends, weighted_layers
from hwgen.graph.errors import InputError
from hwgen.graph.ir import Graph
from hwgen.graph.lower.lower import lower, refusals, with_computed_biases
from hwgen.graph.network import Network
from hwgen.graph.notice import warn_caller
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.onnx.writer import write_qdq, write_tail
from hwgen.graph.passes import simplify
from hwgen.graph.quantize.quantize import quantize
from hwgen.graph.quantize.recipe import DEFAULT, Recipe
from hwgen.hdl.export import Verilog, export, remembered, to_verilog
from hwgen.names import identifier
from hwgen.output import atomic_folder
from hwgen.progress import Notes, Progress, silent
from hwgen.projects import check_projects, project_files
from hwgen.report.report import Report, make_report
from hwgen.simulate.checking import check
from hwgen.simulate.load_files import Load
from hwgen.simulate.reloading import simulate_loaded
from hwgen.simulate.runtime import Comparison, against_onnxruntime
from hwgen.simulate.simulation import HARDWARE, Simulation, simulate
from hwgen.simulate.testbench import Vectors, verilog_testbench
from hwgen.simulate.waves import Waves, whole
from hwgen.simulate.workers import HERE, Workers
from hwgen.tools.yosys import compile_early
from hwgen.top.axi import AxiPort, AxiTop
from hwgen.top.loader import LoadedPipeline
from hwgen.top.loading import FIXED, SPRAM, forms_in, made_loadable, plan_text
from hwgen.top.made import library_of

if TYPE_CHECKING:
    from hwgen.board.bitstream import Implementation
    from hwgen.board.boards import Board

TAIL_FILE = "tail.onnx"  # what is left to the host
DEVICE = "lfe5u-85f"
BENCH_FRAMES = 3  # in the Verilog test bench; fewer do not show the cycles from frame to frame

FramesLike = str | Path | Iterable[str | Path] | np.ndarray


def compile(
    model: str | Path,
    *,
    calibration: FramesLike | None = None,
    preparation: Preparation = USUAL,
    recipe: Recipe = DEFAULT,
    input_shape: Mapping[str, tuple[int, ...]] | None = None,
    outputs: Iterable[str] = (),
    multipliers: int | None = None,
    fps: float | None = None,
    clock: float | None = None,
    device: str | Device | None = None,
    plan: str | Path | None = None,
    latency: bool = False,
    lenient: bool = False,
    weights: str = FIXED,
    progress: Progress | None = None,
    warn: Callable[[str], None] = warn_caller,
) -> "Design":
    """Turn the ONNX file ``model`` into a design.

    ``calibration`` are frames for a float model: files, folders or an array [N, ...] as the model takes it;
    ``preparation`` says how numbers in files become the model's, ``recipe`` how the float model is quantised.
    ``input_shape`` fixes open dimensions. The network ends at the tensors ``outputs`` of the model, if any are given.
    Layers are sized to fit ``device`` (``DEVICE`` unless given, which ``multipliers`` and ``fps`` may exceed), to use
    at most ``multipliers``, or to reach ``fps`` frames per second at ``clock`` Hz with the least hardware; or as the
    JSON file ``plan`` says; the clock is what the device's family reaches (:mod:`hwgen.device.clocks`) unless given.
    With ``latency`` one frame takes the least time, otherwise most come in a second. ``lenient``: if nothing fits the
    device, go on. ``weights`` is ``"fixed"``, or ``"loadable"`` for hardware that takes those of other networks of the
    same shape at run time (:mod:`hwgen.top.loading`), or ``"spram"`` for the network's own in RAM that must be loaded
    before the first frame, if the device has such. ``progress`` is told every step, ``warn`` whatever the user should
    know. Raises a :class:`hwgen.HwgenError` with a line for every problem.
    """
    tell, notes = progress or silent, Notes(warn)
    target, asked_clock = _target(device), clock
    clock = clock or usual_clock(target).hz
    check_given(target, clock, fps, latency, weights, plan)
    outputs, calibration = tuple(outputs), _sources(calibration)
    front = quantised(model, calibration, preparation, input_shape, tell, notes, recipe, outputs, plan)
    front = front.with_weights(weights, plan)
    tell("sizing layers")
    bound = binds(device, multipliers, fps)
    limits = {"multipliers": multipliers, "fps": fps, "clock": clock, "plan": plan, "latency": latency}
    limits["large"] = weights != FIXED
    chosen = choose_plan(front.network, target, bound=bound, lenient=lenient, **limits)
    tell("scheduling")
    timing = schedule(chosen)
    asked = {"multipliers": multipliers, "fps": fps, "clock_mhz": asked_clock and asked_clock / 1e6}
    asked |= {"device": device and target.name, "latency": latency, "weights": weights}
    settings = settings_data(calibration, preparation, recipe, input_shape, outputs, plan, **asked)
    return Design(front, chosen, timing, target, clock, tuple(notes.lines), tell, settings=settings)


def _target(device: str | Device | None) -> Device:
    """The device itself, or the one of that name."""
    return device if isinstance(device, Device) else find_device(device or DEVICE)


@dataclass(frozen=True, eq=False)
class Quantised:
    """``model``, the file, in integers: the ``graph`` (QDQ), the ``network`` of operators, frames [N, ...] to try."""

    graph: Graph
    network: Network
    samples: np.ndarray
    model: Path

    def with_weights(self, weights: str, plan: str | Path | None = None) -> "Quantised":
        """The same, where weights are ``"loadable"`` with hardware that takes others, as the file ``plan`` says, if it
        does."""
        if weights in (FIXED, SPRAM):
            return self
        forms = None if plan is None else forms_in(plan_file(plan), str(plan))
        return replace(self, network=made_loadable(self.network, forms))

    def against_onnxruntime(self, frames: np.ndarray) -> Comparison:
        """Compare every integer tensor that ONNX Runtime has, too, on frames [N, ...] of the model's own shape."""
        return against_onnxruntime(self.model, self.graph, self.network, frames)


def quantised(
    model: str | Path,
    calibration: FramesLike | None = None,
    preparation: Preparation = USUAL,
    input_shape: Mapping[str, tuple[int, ...]] | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] = warn_caller,
    recipe: Recipe = DEFAULT,
    outputs: Iterable[str] = (),
    plan: str | Path | None = None,
) -> Quantised:
    """The first half of :func:`compile`: all that the golden model needs. The file ``plan`` is only looked at."""
    tell, warn, outputs = progress or silent, Notes(warn), tuple(outputs)
    tell("reading the model")
    host = frozenset()
    while True:  # until nothing more is found that must be left to the host
        imported = cut_model(model, input_shape, outputs, host)
        if plan is not None:
            check_layers(plan_file(plan), weighted_layers(imported), str(plan))
        frames = calibration_frames(imported, calibration, preparation)
        tell("quantising")
        recipe = wide_by_layers(imported, recipe)
        graph = quantize(imported, frames, recipe, warn)
        found = frozenset() if outputs else refusals(graph) & loose_ends(imported)
        if found <= host:
            break
        host |= found
    if graph is imported and frames is not None:
        warn("the model is quantised already; the calibration frames only serve to try it on")
    graph = with_computed_biases(graph, warn)
    tell("proving integer arithmetic")
    network = lower(graph, OPERATORS, warn=warn)
    return Quantised(graph, network, sample_frames(network, frames), Path(model))


def cut_model(
    model: str | Path,
    input_shape: Mapping[str, tuple[int, ...]] | None = None,
    outputs: Iterable[str] = (),
    host: frozenset[str] = frozenset(),
) -> Graph:
    """The model in normal form up to ``outputs``, tensors or layers; unless any are given, without what is better left
    to the host: the nodes ``host``, and those of :func:`hwgen.graph.cut.host_nodes`."""
    outputs = tuple(outputs)
    try:
        return _cut_model(model, input_shape, outputs, host)
    except InputError as error:  # what is no tensor of the model may be a layer
        if not outputs:
            raise
        layers = layer_results(lambda: _cut_model(model, input_shape, (), host))
        return _cut_model(model, input_shape, outputs_by_layers(outputs, error, layers), host)


def _cut_model(
    model: str | Path, input_shape: Mapping[str, tuple[int, ...]] | None, outputs: tuple[str, ...], host: frozenset[str]
) -> Graph:
    while True:
        graph = simplify(read_model(model, input_shape, outputs, host))
        found = frozenset() if outputs else host_nodes(graph)
        if found <= host:
            return graph
        host |= found


def build(
    model: str | Path,
    folder: str | Path,
    projects: Iterable[str] = (),
    board: "Board | None" = None,
    making: Mapping[str, Any] | None = None,
    **settings: Any,
) -> "Design":
    """:func:`compile` with the same settings, check the hardware on a frame, and write everything to ``folder``, with
    the ``projects`` (of :data:`hwgen.projects.PROJECTS`) for vendors' tools; with ``board`` a bitstream, too,
    ``making`` it as :meth:`Design.implemented` says."""
    projects = tuple(projects)
    check_projects(projects, _target(settings.get("device")))
    prepare_yosys(settings.get("progress") or silent)
    design = compile(model, **settings).checked()
    design = design.implemented(board, **making or {}) if board else design
    design.write(folder, projects)
    return design


def prepare_yosys(tell: Progress) -> None:
    """Let Yosys compile itself meanwhile, where it has to."""
    if compile_early():
        tell("compiling Yosys in the background (WebAssembly, once on this machine, minutes of processor time)")


def _sources(calibration: FramesLike | None) -> FramesLike | None:
    """``calibration`` as what can be gone through more than once."""
    once = calibration is None or isinstance(calibration, str | Path | np.ndarray)
    return calibration if once else tuple(calibration)


def calibration_frames(graph: Graph, calibration: FramesLike | None, preparation: Preparation) -> np.ndarray | None:
    """Frames [N, ...] as ``graph`` takes them, at most ``CALIBRATION_FRAMES`` from files; None if none are given."""
    if calibration is None:
        return None
    spec = FrameSpec.of_graph(graph)
    if isinstance(calibration, np.ndarray):
        if calibration.shape[1:] != spec.shape:
            raise InputError(
                f"calibration frames of shape {list(calibration.shape)}; the model takes {spec.describe()}"
            )
        return calibration
    sources = [calibration] if isinstance(calibration, str | Path) else list(calibration)
    if not sources:
        return None
    return load_frames(sources, spec, preparation, CALIBRATION_FRAMES, spread=True).values


def sample_frames(network: Network, given: np.ndarray | None = None) -> np.ndarray:
    """``BENCH_FRAMES`` frames [N, *input_shape]: the first of those given, then noise over the input's whole range."""
    given = np.zeros((0, *network.input_shape)) if given is None else given[:BENCH_FRAMES]
    shape = (BENCH_FRAMES - len(given), *network.input_shape)
    kind, quantization = network.input.map.type, network.input.quantization
    noise = np.random.default_rng(0).integers(kind.min, kind.max, shape, np.int64, endpoint=True).astype(kind.dtype)
    noise = noise if network.integer_input else quantization.dequantize(noise)
    return np.concatenate([given.astype(noise.dtype), noise])


def axi_top(plan: Plan) -> AxiTop:
    """The pipeline of ``plan`` between AXI4-Stream ports."""
    core = Pipeline(plan)
    streams = (plan.network.input, *plan.network.results)
    ports = [
        AxiPort(stream.map.type, lanes, stream.map.elements // lanes)
        for stream, lanes in zip(streams, (core.lanes_in, *core.lanes_out), strict=True)
    ]
    return AxiTop(LoadedPipeline(core) if plan.loading else core, ports[0], ports[1:])


@dataclass(frozen=True, eq=False)
class Design:
    """A network as hardware: what it computes, how it is laid out, how fast it is, and its files.

    ``plan`` holds the foldings and ``schedule`` the cycles. ``clock`` in Hz is only for stating speeds. ``check`` is
    the simulation made by :meth:`checked`, ``implementation`` the bitstream made by :meth:`implemented`. ``settings``
    are those that were asked for (:func:`hwgen.flow.settings.settings_data`).
    """

    front: Quantised
    plan: Plan
    schedule: Schedule
    device: Device
    clock: float = 100e6
    warnings: tuple[str, ...] = ()
    progress: Progress = silent
    check: Simulation | None = None
    implementation: "Implementation | None" = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Design {self.name} for {self.device.name}: {self.schedule.interval:,} cycles per frame\n{self.plan!r}"

    def _repr_html_(self) -> str:
        return self.report._repr_html_()

    @property
    def graph(self) -> Graph:
        """The quantised model, QDQ."""
        return self.front.graph

    @property
    def network(self) -> Network:
        """Its layers of integers."""
        return self.front.network

    @property
    def samples(self) -> np.ndarray:
        """A few frames [N, ...] to try it on."""
        return self.front.samples

    @property
    def name(self) -> str:
        """The model's name as an identifier; files and the top module are called so."""
        return identifier(self.network.name)

    @cached_property
    def component(self) -> AxiTop:
        """The hardware: the pipeline between AXI4-Stream ports."""
        return axi_top(self.plan)

    def simulate(
        self,
        frames: np.ndarray,
        engine: str = "golden",
        stall: int | None = None,
        trace: Waves | None = None,
        workers: Workers = HERE,
    ) -> Simulation:
        """:func:`hwgen.simulate.simulation.simulate` of frames of the model's own shape, [N, ...] or one."""
        step = f"simulating ({engine})"
        self.progress(step)
        tell = partial(self.progress, step)
        with whole(trace) as waves:
            return self.run_engine(frames, engine, tell, stall, waves, workers)

    def run_engine(self, frames: np.ndarray, engine: str, *how: Any) -> Simulation:
        """``frames`` through ``engine``; hardware that holds no weights at power-up is loaded first."""
        if engine in HARDWARE and self.plan.waits_for_load:
            return simulate_loaded(self.plan, frames, engine, *how)
        return simulate(self.network, self.plan, frames, engine, *how)

    def against_onnxruntime(self, frames: np.ndarray) -> Comparison:
        """:meth:`Quantised.against_onnxruntime`."""
        return self.front.against_onnxruntime(frames)

    def checked(self, frames: np.ndarray | None = None) -> "Design":
        """The design after its RTL was compared with golden on ``frames``, the first sample unless given.

        A check of the same Verilog on the same frames is remembered. Raises RuntimeError where an integer of any layer
        or a predicted cycle differs: a bug, not a bad model.
        """
        return self._with(check=check(self, self.samples[:1] if frames is None else frames))

    def _with(self, **changes: Any) -> "Design":
        """The design after ``changes`` that leave its hardware as it is: what was made of it stays."""
        design = replace(self, **changes)
        made = ("component", "verilog", "fit", "activity")
        vars(design).update({name: value for name, value in vars(self).items() if name in made})
        return design

    def implemented(self, board: "Board", **making: Any) -> "Design":
        """The design on ``board``, with its bitstream, ``making`` it as
        :func:`hwgen.board.bitstream.implement` says."""
        from hwgen.board.bitstream import implement

        made = implement(self, board, **making)
        return self._with(clock=made.clock, implementation=made)

    @cached_property
    def verilog(self) -> Verilog:
        """Verilog with the top module :attr:`name`, and the files of its larger memories; remembered by content."""
        self.progress("writing Verilog")
        return remembered(self._written, self.name, self.plan)

    def _written(self) -> Verilog:
        if compile_early():
            self.progress("waiting until Yosys is compiled, which is done once on this machine")
            self.progress("writing Verilog")
        return export(self.component, self.name, made=library_of(self.plan))

    def to_verilog(self) -> str:
        """The same in one file, with all memories in it."""
        self.progress("writing Verilog")
        return self.verilog.text if not self.verilog.memories else to_verilog(self.component, self.name)

    @cached_property
    def fit(self) -> FitTable:
        """What the device is asked for, resource by resource."""
        return fit_table(self.plan, self.device)

    @cached_property
    def activity(self) -> Activity:
        """What each layer does all the time, and how full the queues become."""
        return activity(self.plan)

    @cached_property
    def report(self) -> Report:
        """Layers, speed, what the device is asked for, proofs and warnings: as data and as text."""
        return make_report(self)

    def write(self, folder: str | Path, projects: Iterable[str] = ()) -> None:
        """Write everything to ``folder``, which appears complete or not at all; ``projects`` to folders in it."""
        assert self.verilog.text  # a step of its own
        self.progress("drawing the schedule, making the test bench and the report")
        files = self.files() | project_files(projects, self)
        self.progress("writing files")
        with atomic_folder(folder) as place:
            for name, text in files.items():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_text(text, encoding="utf-8", newline="\n")
            write_qdq(self.graph, place / f"{self.name}_qdq.onnx")
            if self.graph.tail is not None and self.graph.tail.nodes:
                write_tail(self.graph.tail, place / TAIL_FILE)
            for name, content in self._binaries().items():
                (place / name).write_bytes(content)

    def _binaries(self) -> dict[str, bytes]:
        """The load without which it does not work, and the bitstream, if there are any."""
        load = Load.of(self.plan).files() if self.plan.waits_for_load else {}
        return {**load, **(self.implementation.files if self.implementation else {})}

    def files(self) -> dict[str, str]:
        """The text files that :meth:`write` makes, by name."""
        return {
            **self.verilog.files(self.name),
            **self._bench_files(),
            "plan.json": plan_text(self.plan),
            "report.json": self.report.to_json(),
            "report.txt": str(self.report),
            "report.html": self.report.html(),
            "schedule.svg": self.activity.drawn(),
        }

    def _bench_files(self) -> dict[str, str]:
        """The Verilog test bench and its vectors, made by the golden model."""
        source = golden.network_input(self.network, self.samples)
        tensors = golden.run(self.network, source, [stream.name for stream in self.network.results])
        run, loaded = self.schedule.run, self.component.loads.load_bytes if self.component.loads else 0
        bench = verilog_testbench(
            self.name,
            self.component,
            len(source),
            cycles=run.frame_end(len(source) - 1) - run.frame_end(len(source) - 2),
            latency=self.schedule.first_output + AxiTop.LATENCY,
            timeout=20 * (self.schedule.latency + len(source) * self.schedule.interval + loaded),
            waits=self.plan.waits_for_load,
        )
        return {
            f"{self.name}_tb.v": bench,
            **Vectors.of(self.component, source, *tensors.values()).files(self.component),
        }
