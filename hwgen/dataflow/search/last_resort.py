"""What is found where weights need not be loaded if they can be constants: with constants first."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from hwgen.dataflow.plan import Plan
from hwgen.graph.errors import FitError

Searching = TypeVar("Searching", bound="_Searching")


class _Searching(Protocol):
    """A search; ``loaded`` is the same with weights that may be loaded, if that is its last resort."""

    @property
    def loaded(self: Searching) -> Searching | None: ...

    def suffices(self, plan: Plan) -> bool: ...


def loaded_or_not(search: Searching, find: Callable[[Searching], Plan]) -> Plan:
    """What ``find`` finds with ``search``; where that does not fit, with weights in UltraRAM if it has that as its last
    resort. FitError where nothing fits, unless the search is lenient."""
    loaded: Searching | None = search.loaded
    try:
        plan = find(search)
    except FitError:
        if loaded is None:
            raise
        return find(loaded)
    if loaded is None or search.suffices(plan):
        return plan
    try:
        return find(loaded)
    except FitError:
        return plan
