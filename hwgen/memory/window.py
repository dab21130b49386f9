"""What a window buffer is to its reader: a raster of beats in, windows out, element by element or many at a time."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Member, Out

from hwgen.cost.actor import CREDIT, Actor, Take
from hwgen.cost.logic import Logic
from hwgen.cost.needs import MemoryNeed
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import FeatureMap

from .abreast import Abreast
from .raster import Raster, map_raster

#: Cycles after which a place of the reader's queue can be debited again: a step is decided on a cycle before it starts.
WINDOW_CREDIT = CREDIT + 1


def window_ports(layout: data.ArrayLayout) -> dict[str, Member]:
    """Those of a buffer that takes words of ``layout``: a *step* starts when ``permit`` is 1 and all that it gives is
    there. ``go`` is 1 in the cycle in which that is decided, with ``go_final`` for the last pass of a pack; ``strobe``
    says that something is given, ``first`` and ``last`` where a step begins and ends."""
    outputs = ("go", "go_final", "strobe", "first", "last")
    return {"i": In(stream.Signature(layout)), "permit": In(1), **{name: Out(1) for name in outputs}}


@dataclass(frozen=True)
class WindowCut:
    """How the windows of a map are taken apart.

    The channels of a pixel are cut into ``packs`` of whole words, each with a window of its own, and a pack into
    ``parallel`` groups. The window of a pack is issued ``passes`` times, each time ``portion`` elements of every
    group in a cycle. Where pixels are ``abreast``, groups are those of each window in turn.
    """

    packs: int
    parallel: int
    portion: int
    passes: int
    abreast: Abreast | None = None

    def channels(self, pack: int) -> int:
        """Channels of a group where a pack of a beat has so many elements."""
        side = self.abreast
        return pack // self.parallel if side is None else pack // side.pixels * side.positions // self.parallel

    def taps(self, window: Window) -> int:
        """Taps of each group's window."""
        return window.taps if self.abreast is None else window.kernel[0] * self.abreast.taps


@dataclass(frozen=True)
class WindowBuffer(ABC):
    """Holds what ``window`` needs of ``map``, which comes in beats of ``lanes``, and issues windows as ``cut`` says.

    ``pad`` is the integer that stands for padding; without one the reader puts it in, told so by ``outside``. A step is
    one pass over a window; it starts when the reader gives its ``permit``, see :class:`hwgen.memory.ring.RingWindow`.
    """

    map: FeatureMap
    window: Window
    lanes: int
    cut: WindowCut
    pad: int | None

    #: Cycles from the start of a step (the cycle after ``go``) to its first ``strobe``.
    latency: ClassVar[int] = 1

    @property
    def padding(self) -> int:
        """``pad``, of buffers that put it in themselves; ValueError where the reader does."""
        if self.pad is None:
            raise ValueError(f"{type(self).__name__} puts padding in itself, and must be told which integer")
        return self.pad

    @classmethod
    def words(cls, window: Window) -> int:
        """Of how many taps a word comes in every cycle; 0 where portions may be of any size."""
        return 1

    @classmethod
    def fits(cls, map_: FeatureMap, window: Window, lanes: int) -> bool:
        """Whether it can be built for this window."""
        return True

    @classmethod
    def suits(cls, map_: FeatureMap, window: Window, lanes: int) -> bool:
        """Whether that is worth looking at."""
        return cls.fits(map_, window, lanes)

    @classmethod
    @abstractmethod
    def pixels(cls, map_: FeatureMap, window: Window) -> int:
        """Pixels that go in, with padding that it takes time for."""

    @cached_property
    def raster(self) -> Raster:
        """The window over the map in words of ``lanes`` elements."""
        return map_raster(self.map, self.window, self.lanes)

    @property
    def word(self) -> int:
        """Bits of a beat."""
        return self.map.type.width * self.lanes

    @property
    def portions(self) -> int:
        """Cycles of a step."""
        elements = self.cut.taps(self.window) * self.cut.channels(self.map.channels // self.cut.packs)
        return -(-elements // self.cut.portion)

    @property
    def windows(self) -> int:
        """Windows of a frame, those of each pack counted."""
        return self.raster.positions * self.cut.packs

    def issued(self, weights: np.ndarray) -> np.ndarray:
        """``weights`` [OC, KH, KW, IC/group] with those of a window in the order in which its elements come."""
        return weights

    @property
    @abstractmethod
    def logic(self) -> Logic:
        """What it takes beside memories."""

    @property
    @abstractmethod
    def memories(self) -> tuple[MemoryNeed, ...]:
        """The memories that it takes."""

    @property
    def front(self) -> tuple[Actor, ...]:
        """What happens before the reader."""
        return ()

    @property
    @abstractmethod
    def take(self) -> Take:
        """What the reader's actor takes, whose steps are those of the buffer."""

    @abstractmethod
    def parts(self, layout: data.ArrayLayout) -> Sequence[tuple[str, wiring.Component]]:
        """The hardware for beats of ``layout``: named components, each fed by the one before. The last one has the
        ports that the reader sees."""

    @abstractmethod
    def elements(self, last: wiring.Component) -> Value | data.View:
        """What the last of :meth:`parts` issues: group by group, with padding put in."""
