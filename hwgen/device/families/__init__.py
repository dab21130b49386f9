"""The families of devices: a file each, or one for several that are alike; each file says its ``FAMILIES``.

The numbers in PerBit are fitted to what Yosys 0.70 counts (python -m benchmarks.costs --fit).
"""

import importlib
import pkgutil

from ..family import Family


def _found() -> tuple[Family, ...]:
    """Those of every file in this folder."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)
    return tuple(family for name in names for family in importlib.import_module(f".{name}", __name__).FAMILIES)


#: Every family by its name.
FAMILIES = {family.name: family for family in _found()}
