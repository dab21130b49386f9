"""What has been made of plans: what is simulated is what is written."""

from weakref import WeakKeyDictionary

from hwgen.dataflow.plan import Plan
from hwgen.hdl.elements import Library
from hwgen.names import identifier

_MADE: WeakKeyDictionary[Plan, Library] = WeakKeyDictionary()


def library_of(plan: Plan) -> Library:
    """Modules that have been made of ``plan``, for as long as it is there."""
    return _MADE.setdefault(plan, Library(f"{identifier(plan.network.name)}_core"))
