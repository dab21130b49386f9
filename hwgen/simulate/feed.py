"""What hardware in simulation is fed with: frames, and loads between them, as beats of one stream; and what comes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hwgen.dataflow.plan import Plan
from hwgen.graph.types import IntType
from hwgen.hdl.contents import pack_rows
from hwgen.simulate.load_files import load_rows
from hwgen.top.loader import LoadPlan
from hwgen.top.tdata import tdata_rows

Cycles = Sequence[int] | np.ndarray  # int64 [beats]


class Reads(NamedTuple):
    """What hardware reads from DRAM: all ``bytes``; and what it says of that: how many beats were ``late``, and how
    many memories gave answers in error."""

    bytes: int = 0
    late: int = 0
    errors: int = 0

    @staticmethod
    def sum(parts: Iterable["Reads"]) -> "Reads":
        """Of several memories, or runs."""
        return Reads(*map(sum, zip(Reads(), *parts, strict=True)))


class Ran(NamedTuple):
    """Every layer's integers [N, H, W, C] by tensor; the cycles in which beats were taken, and given by each output;
    and what was read from DRAM."""

    tensors: dict[str, np.ndarray]
    taken: Cycles
    given: Sequence[Cycles]
    reads: Reads = Reads()


@dataclass(frozen=True, eq=False)
class Step:
    """``integers`` [N, H, W, C] through the hardware with the constants of ``plan``, which are loaded before unless
    ``loads`` is False: then it has them already."""

    plan: Plan
    integers: np.ndarray
    loads: bool = True


@dataclass(frozen=True, eq=False)
class Feed:
    """``integers`` [N, H, W, C] of all frames in ``payloads``, uint8 [beats, bytes], of which ``firsts`` are the first
    beats of frames. With ``loads`` it is for a :class:`hwgen.top.loader.LoadedPipeline`."""

    integers: np.ndarray
    payloads: np.ndarray
    firsts: Sequence[int]
    loads: LoadPlan | None = None

    @staticmethod
    def of(plan: Plan, integers: np.ndarray) -> "Feed":
        """Frames alone; with a load before them where the hardware holds no weights at power-up."""
        if plan.waits_for_load:
            return Feed.of_steps([Step(plan, integers)])
        map_, lanes = plan.network.input.map, plan.lanes_in
        payloads = packed(integers, map_.type, lanes)
        return Feed(integers, payloads, range(0, len(payloads), map_.elements // lanes))

    @staticmethod
    def of_steps(steps: Sequence[Step]) -> "Feed":
        """Loads and frames, for the hardware of the first step."""
        loads = LoadPlan.of(steps[0].plan)
        parts: list[np.ndarray] = []
        firsts: list[int] = []
        for step in steps:
            if step.loads:
                rows = load_rows(step.plan)
                parts.append(_beats(rows, len(rows), load=True))
            start = sum(map(len, parts))
            frames = _beats(tdata_rows(step.integers, loads.type, loads.lanes), loads.beats, load=False)
            firsts += range(start, start + len(frames), loads.beats)
            parts.append(frames)
        return Feed(np.concatenate([step.integers for step in steps]), np.concatenate(parts), firsts, loads)


def _beats(rows: np.ndarray, each: int, load: bool) -> np.ndarray:
    """``rows`` as beats of :attr:`LoadPlan.layout`, of which ``each`` make a frame or a load: a byte with the flags
    behind the data."""
    last = np.arange(len(rows)) % each == each - 1
    return np.column_stack([rows, (last | load << 1).astype(np.uint8)])


def packed(values: np.ndarray, type_: IntType, lanes: int) -> np.ndarray:
    """Integers in raster order as payloads of ``lanes``, the first lowest: uint8 [beats, bytes], little-endian."""
    return pack_rows(np.asarray(values).reshape(-1, lanes), type_.width)


def unpacked(payloads: np.ndarray, type_: IntType, lanes: int) -> np.ndarray:
    """The integers of payloads, flat, in the type's own dtype."""
    if type_.width == 8:
        return np.ascontiguousarray(payloads[:, :lanes]).view(type_.dtype).reshape(-1)
    bits = np.unpackbits(payloads, axis=1, count=type_.width * lanes, bitorder="little")
    values = bits.reshape(-1, type_.width).astype(np.int64) @ (1 << np.arange(type_.width, dtype=np.int64))
    if type_.signed:
        values -= (values >> (type_.width - 1)) << type_.width
    return values.astype(type_.dtype)
