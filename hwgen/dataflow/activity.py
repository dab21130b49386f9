"""What the layers do all the time: where cycles go, how full queues become, and a picture of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO

import numpy as np

from hwgen.cost.actor import Actor
from hwgen.cost.timing_engine import Engine

from .plan import Plan
from .schedule import Port, Room, web_of

#: Columns of the picture for each frame.
_COLUMNS = 160
#: Frames in it at most.
_FRAMES = 6
#: Kinds of cycles, in the order of the last axis of :attr:`Activity.timeline`, and their colours.
KINDS = {"works": (0.17, 0.55, 0.25), "waits for input": (0.98, 0.75, 0.30), "held back": (0.78, 0.20, 0.20)}


@dataclass(frozen=True)
class Cycles:
    """Where a layer's cycles of one frame go; together they are all the cycles of that frame.

    ``works``: its last actor, the one that computes, is in a step. ``waits``: between two steps, for input. ``held``:
    its output has no room, or not yet. ``idle``: from its last step of one frame, for the input of the next.
    """

    works: int
    waits: int
    held: int
    idle: int


@dataclass(frozen=True, eq=False)
class Activity:
    """A run from an empty pipeline until it is settled, with a source that always offers and a sink that always takes.

    ``cycles``: those of the last frame by layer. ``peaks``: for each output (stage, port) the most places of its queue
    that were taken at once, by beats inside or on their way. ``timeline``: shares [layers, columns, kinds], columns
    being ``column`` cycles each. ``frame_ends``: the cycle in which each frame had left.
    """

    plan: Plan
    cycles: dict[str, Cycles]
    peaks: dict[Port, int]
    timeline: np.ndarray
    column: int
    frame_ends: tuple[int, ...]

    @property
    def kinds(self) -> list[tuple[str, tuple[float, ...]]]:
        """What the timeline shows, and its colours."""
        return list(KINDS.items())

    def png(self) -> bytes:
        """The timeline as a picture with a pixel for each layer and column; idle is transparent."""
        from PIL import Image

        alpha = self.timeline.sum(axis=2, keepdims=True)
        colours = self.timeline @ np.array([*KINDS.values()]) / np.maximum(alpha, 1e-9)
        pixels = np.concatenate([colours, alpha], axis=2).clip(0, 1)
        file = BytesIO()
        Image.fromarray((pixels * 255).round().astype(np.uint8)).save(file, "PNG", optimize=True)
        return file.getvalue()

    def drawn(self) -> str:
        """The timeline as SVG: a row for each layer, time to the right."""
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch

        layers, columns = self.timeline.shape[:2]
        colours = np.array([*KINDS.values()])
        shares = self.timeline
        image = shares @ colours + (1 - shares.sum(axis=2, keepdims=True))
        with rc_context({"svg.hashsalt": self.plan.network.name}):
            figure = Figure(figsize=(11, 1.6 + 0.16 * layers), layout="constrained")
            axes = figure.subplots()
            extent = (0, columns * self.column, layers - 0.5, -0.5)
            axes.imshow(image.clip(0, 1), aspect="auto", interpolation="nearest", extent=extent)
            axes.set_yticks(range(layers), [layer.name[-32:] for layer in self.plan.layers], fontsize=6)
            axes.vlines([end + 1 for end in self.frame_ends], *extent[2:], color="0.2", linewidth=0.7)
            axes.set(title=f"{self.plan.network.name}: frames until they are alike", xlabel="cycles")
            patches = [Patch(color=colour, label=kind) for kind, colour in KINDS.items()]
            figure.legend(handles=patches, loc="outside lower left", ncols=len(patches), fontsize=7)
            file = StringIO()
            figure.savefig(file, format="svg", metadata={"Date": None})
        return file.getvalue()


def activity(plan: Plan, frames: int | None = None) -> Activity:
    """Evaluate ``plan`` until it is settled, or for ``frames`` frames, and look at what each layer does.

    Raises :class:`hwgen.cost.timing.Deadlock`.
    """
    web, links, actors = web_of(plan)
    places = [(n, port) for n, stage in enumerate(plan.stages) for port in range(len(stage.ports))]
    rooms = {(n, p): Room(*plan.stages[n].ports[p], actors[n], links[n][p], used=True) for n, p in places}
    column = -(-max(stage.cost.cycles for stage in plan.stages) // _COLUMNS)
    layers = [n for n, stage in enumerate(plan.stages) if stage.is_layer]
    rows = [_Row(actors[n] + len(plan.stages[n].actors) - 1, plan.stages[n].actors[-1], column) for n in layers]

    def look(engine: Engine) -> None:
        starts, offered, moved = engine.starts, engine.offered, engine.moved
        for room in rooms.values():
            room.look(starts, moved)
        for row in rows:
            taken = web.takes[row.number]
            row.look(starts[row.number], [offered[link] for link in taken], [moved[link] for link in taken])

    run = web.settle(look=look) if frames is None else web.settle(0, frames, frames, look)
    ends = run.frame_ends[:_FRAMES]
    columns = int(ends[-1]) // column + 1
    timeline = np.array([np.diff(row.covered(columns), axis=0) / column for row in rows])
    cycles = {plan.stages[n].layer: row.last for n, row in zip(layers, rows, strict=True)}
    return Activity(plan, cycles, {at: r.most for at, r in rooms.items()}, timeline, column, tuple(map(int, ends)))


class _Row:
    """What one actor does, frame by frame."""

    def __init__(self, number: int, actor: Actor, column: int):
        self.number, self.actor, self.column = number, actor, column
        self.free, self.last = 0, Cycles(0, 0, 0, 0)
        self.spans: list[tuple[np.ndarray, ...]] = []

    def look(self, starts: np.ndarray, offered: Sequence[np.ndarray], moved: Sequence[np.ndarray]) -> None:
        """Look at one more frame: when its steps start, and when the beats of its inputs were offered and moved."""
        starts = starts.astype(np.int64)
        ends = starts + self.actor.busy
        free = np.append(self.free, ends[:-1])
        there = np.minimum(np.maximum(_arrival(self.actor, offered, moved), free), starts)
        waits, held = there - free, starts - there
        self.last = Cycles(int(self.actor.busy.sum()), int(waits[1:].sum()), int(held.sum()), int(waits[0]))
        self.free = int(ends[-1])
        if len(self.spans) < _FRAMES:
            self.spans.append((free, there, starts, ends))

    def covered(self, columns: int) -> np.ndarray:
        """Cycles [columns + 1, kinds] of each kind up to the edges of the columns."""
        edges = np.arange(columns + 1) * self.column
        free, there, starts, ends = (np.concatenate(part) for part in zip(*self.spans, strict=True))
        return np.stack([_until(edges, *span) for span in ((starts, ends), (free, there), (there, starts))], axis=1)


def _arrival(actor: Actor, offered: Sequence[np.ndarray], moved: Sequence[np.ndarray]) -> np.ndarray:
    """The cycle [steps] from which there is all the input of each step."""
    there = np.zeros(actor.steps, np.int64)
    for port, offers, moves in zip(actor.takes, offered, moved, strict=True):
        cycles, delay = (moves, port.start_delay) if port.capacity else (offers, port.lead)
        there = np.maximum(there, np.where(port.need > 0, cycles[port.need - 1].astype(np.int64) + delay, 0))
    return there


def _until(edges: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Cycles before each of ``edges`` that lie in spans which follow each other."""
    whole = np.append(0, np.cumsum(ends - begins))
    at = np.searchsorted(begins, edges, side="right")
    over = np.where(at > 0, np.maximum(np.append(ends, 0)[at - 1] - edges, 0), 0)
    return whole[at] - over
