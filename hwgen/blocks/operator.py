"""What is computed, and how: an :class:`Operator` says what, a :class:`Unit` is hardware that does it.

An operator is a frozen parameter object: ``output`` (types), :meth:`Operator.golden` (numpy, the definition), and the
units that it offers. A unit has :attr:`Unit.actors` (exact cycles), :attr:`Unit.cost` and :meth:`Unit.block` (the
Amaranth component); that of an operator is the operator with settings, its ``folding``. There are no default values: a
face that is missing is an error, not a zero.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, overload

import numpy as np

from hwgen.cost.logic import Logic
from hwgen.cost.needs import Products
from hwgen.graph.errors import ModelError
from hwgen.graph.exact.loadable import LoadForm, TableForm
from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap

from .stream import Port
from .unit import Unit


@dataclass(frozen=True)
class LaneFolding:
    """``lanes`` elements at a time, in and out."""

    lanes: int

    @property
    def lanes_in(self) -> int:
        """Elements in a beat of each input."""
        return self.lanes

    @property
    def lanes_out(self) -> int:
        """Elements in a beat of each output."""
        return self.lanes

    def __str__(self) -> str:
        return f"{self.lanes} lane{'s' * (self.lanes != 1)}"


@dataclass(frozen=True)
class OperatorUnit(Unit):
    """Hardware that computes ``op``, laid out by ``folding``, which has ``lanes_in`` and ``lanes_out``."""

    op: "Operator"
    folding: Any

    #: What its folding is, and the definition of its settings in ``schemas/plan.json``.
    folds: ClassVar[type] = LaneFolding
    settings_in: ClassVar[str] = "lanes"
    #: Whether it computes several layers of a network, which plans then name.
    several: ClassVar[bool] = False

    @classmethod
    def suits(cls, op: "Operator") -> bool:
        """Whether it computes ``op``; a unit that an operator does not name as its own says so here."""
        return any(type(unit) is cls for unit in op.units())

    @classmethod
    def read(cls, op: Any, settings: dict[str, Any]) -> "OperatorUnit":
        """The unit of ``op`` with the :attr:`settings` of a plan."""
        return cls(op, cls.folds(**settings))

    @property
    def settings(self) -> dict[str, Any]:
        """How it is laid out, as plain values for a plan."""
        return asdict(self.folding)

    @property
    def inputs(self) -> tuple[Port, ...]:
        return tuple(Port(map_, self.folding.lanes_in) for map_ in self.op.inputs)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port(self.op.output, self.folding.lanes_out),)

    @property
    def computed(self) -> tuple[Any, ...]:
        """What it computes for each of its layers."""
        return (self.op,)

    def golden(self, *inputs: Any, **unused: Any) -> tuple[np.ndarray, ...]:
        return (self.op.golden(*inputs),)

    def __str__(self) -> str:
        return str(self.folding)

    @property
    def by_pixel(self) -> bool:
        return self.op.by_pixel

    @property
    def loads(self) -> bool:
        return self.op.loading is not None

    def problems(self) -> list[str]:
        """Why it cannot be built; empty if it can."""
        offered = [unit for unit in self.op.units() if type(unit) is type(self)]
        if self in offered:
            return []
        return [f"folding {self.folding} is not one of those the operator offers: {', '.join(map(str, offered))}"]


@dataclass(frozen=True, eq=False)
class OfferTable:
    """Figures of offers side by side, the same object for operators that are alike.

    ``cycles`` int64 [offers]: lower bounds of those per frame. ``counts`` int64 [kinds of products, offers]: hardware
    multipliers. ``kinds`` int64 [offers]: offers of different kinds may differ much in what else they take.
    """

    cycles: np.ndarray
    counts: np.ndarray
    kinds: np.ndarray

    def some(self, numbers: np.ndarray) -> "OfferTable":
        """Of the offers with these numbers."""
        return OfferTable(self.cycles[numbers], self.counts[:, numbers], self.kinds[numbers])


@dataclass(frozen=True, eq=False)
class Offers(Sequence["OperatorUnit"]):
    """Units for one operator to choose from, each made when it is looked at, of whatever class.

    ``products`` are the kinds that :attr:`OfferTable.counts` counts, with a count of 1. ``slices``: the kind of DSP
    blocks that a device must have for them (:attr:`hwgen.device.family.Family.slices`). ``moved``: they are others with
    their weights elsewhere. ``in_luts``: what each of the first kind of products takes where they are made of LUTs, for
    devices that have no more multipliers.
    """

    table: OfferTable
    products: tuple[Products, ...]
    make: Callable[[int], "OperatorUnit"]
    slices: str | None = None
    moved: "Moved | None" = None
    in_luts: Logic | None = None

    def __len__(self) -> int:
        return len(self.table.cycles)

    @overload
    def __getitem__(self, at: int) -> "OperatorUnit": ...
    @overload
    def __getitem__(self, at: slice) -> list["OperatorUnit"]: ...
    def __getitem__(self, at: int | slice) -> "OperatorUnit | list[OperatorUnit]":
        numbers = range(len(self))[at]
        return self.make(numbers) if isinstance(numbers, int) else [self.make(n) for n in numbers]

    @staticmethod
    def of(units: Sequence["OperatorUnit"]) -> "Offers":
        """``units``, all of one kind."""
        made = [{replace(each, count=1): each.count for each in unit.cost.products} for unit in units]
        kinds = tuple(dict.fromkeys(kind for products in made for kind in products))
        counts = np.array([[products.get(kind, 0) for products in made] for kind in kinds], np.int64)
        cycles = np.array([unit.interval for unit in units], np.int64)
        table = OfferTable(cycles, counts.reshape(len(kinds), len(units)), np.zeros(len(units), np.int64))
        return Offers(table, kinds, units.__getitem__)


class Moved(NamedTuple):
    """Offers with these ``numbers`` of ``group`` have their weights in ``place``, which changes no cycle and no
    multiplier. Those that are ``last`` pay only where UltraRAM is used up, too."""

    place: str
    group: Offers
    numbers: np.ndarray
    last: bool = False


class Operator(ABC):
    """The base of all operators; subclasses are frozen dataclasses with an ``input`` feature map."""

    #: The ``op`` of the sites that it may take (:data:`hwgen.graph.network.SITE_OPS`); it is asked for no others.
    sites: ClassVar[tuple[str, ...]] = ()

    if TYPE_CHECKING:  # each is a field of some operators and a property of others

        @property
        def input(self) -> FeatureMap:
            """The type of the first operand."""

        @property
        def output(self) -> FeatureMap:
            """The type of the result."""

    @classmethod
    def from_site(cls, site: Site) -> "Operator | None":
        """The operator for a site, or None where it is not of this kind. Raises ModelError where it cannot be.

        What is only a part of other operators has none."""
        raise NotImplementedError(f"{cls.__name__} is not made of a site")

    @property
    def loading(self) -> LoadForm | TableForm | None:
        """What its hardware is made for where its constants are loaded at run time; None where they are not."""
        return None

    @property
    def inputs(self) -> tuple[FeatureMap, ...]:
        """All operands; ``input`` alone for most operators."""
        return (self.input,)

    @property
    def parts(self) -> tuple["Operator", ...]:
        """The layers that it is made of, each reading the one before; itself unless there are several."""
        return (self,)

    def infer(self, *inputs: FeatureMap) -> FeatureMap:
        """``output``, after checking that ``inputs`` are what the operator was made for."""
        if inputs != self.inputs:
            made, given = (", ".join(map(str, maps)) for maps in (self.inputs, inputs))
            raise ModelError(f"{type(self).__name__}: made for {made}, given {given}")
        return self.output

    @property
    def gap(self) -> str | None:
        """What of it has no hardware yet, in a few words; None where it can be built.

        Golden computes it all the same. The other faces raise :meth:`golden_only` then.
        """
        return None

    @property
    def by_pixel(self) -> bool:
        """Whether each pixel of the result needs one pixel of the input."""
        return False

    @property
    def hands_on(self) -> bool:
        """Whether there is hardware for it from which its input leaves, too, for another reader."""
        return False

    @property
    def macs(self) -> int:
        """Multiplications by weights for a frame; 0 for an operator without weights."""
        weights = getattr(self, "weights", None)
        return 0 if weights is None else weights.size * self.output.height * self.output.width

    def loadable(self, form: Any = None) -> "Operator":
        """The same with constants that are loaded at run time, in hardware made for ``form``, or for one chosen around
        these; itself where it has none to load. Raises ModelError where that cannot be."""
        return self

    def golden_only(self) -> ModelError:
        """The error for somebody who wants hardware where there is a :attr:`gap`."""
        return ModelError(f"{self.gap} has no hardware yet: golden only")

    @abstractmethod
    def golden(self, *inputs: Any, **unused: Any) -> np.ndarray:
        """The definition: integers [N, H, W, C] of each of ``inputs`` to integers [N, H, W, C]. How many there are is
        the operator's to say."""

    @abstractmethod
    def units(self) -> Iterable[OperatorUnit]:
        """Useful hardware for it, of whatever classes, cheapest first or not."""

    def offers(self) -> tuple[Offers, ...]:
        """Units as the search looks at them: further ones are the same units with something else of the device.

        Of two that have the same cycles the search takes the one that never takes more multipliers of the device.
        """
        return (Offers.of(list(self.units())),)


class GoldenOnly(Operator):
    """The base of operators without hardware: what they compute is defined, and that is all."""

    @property
    def gap(self) -> str:
        return type(self).__name__

    def units(self) -> Iterable[OperatorUnit]:
        raise self.golden_only()


@dataclass(frozen=True, eq=False)
class SeveralInputs(Operator):
    """The base of operators that read several streams, of ``maps``."""

    maps: tuple[FeatureMap, ...]

    @property
    def input(self) -> FeatureMap:
        """The first of ``maps``."""
        return self.maps[0]

    @property
    def inputs(self) -> tuple[FeatureMap, ...]:
        return self.maps
