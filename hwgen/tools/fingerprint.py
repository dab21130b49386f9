"""A hash of values by content: what a design is made of, and of the program that makes it."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np

#: What Python writes in full.
_PLAIN = (bool, int, float, str, bytes, Fraction, type(None))


def fingerprint(*values: object) -> str:
    """The SHA-256 of ``values`` with all that is in them: dataclasses by their fields, arrays by type, shape and bytes,
    mappings and sets in order of their content. What is only remembered on an object does not count.

    Raises TypeError for a value of another kind, of which it could not be said what is in it.
    """
    digest = hashlib.sha256()
    _add(values, digest.update)
    return digest.hexdigest()


@lru_cache(maxsize=1)
def program() -> str:
    """A hash of every source file of this package: any change of it may change what it makes."""
    root = Path(__file__).parents[1]
    return fingerprint(*((str(file.relative_to(root)), file.read_bytes()) for file in sorted(root.rglob("*.py"))))


def _add(value: object, update: Callable[[bytes], None]) -> None:
    if isinstance(value, np.ndarray | np.generic):
        _text(f"array {value.dtype} {value.shape}", update)
        update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Enum):
        _text(f"{type(value).__qualname__}.{value.name}", update)
    elif isinstance(value, _PLAIN):
        _text(f"{type(value).__name__} {value!r}", update)
    elif isinstance(value, tuple | list):
        _all("tuple", value, update)
    elif isinstance(value, Mapping):
        _all("mapping", sorted((fingerprint(key), fingerprint(item)) for key, item in value.items()), update)
    elif isinstance(value, set | frozenset):
        _all("set", sorted(map(fingerprint, value)), update)
    elif is_dataclass(value) and not isinstance(value, type):
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        _all(kind, [(field.name, getattr(value, field.name)) for field in fields(value)], update)
    else:
        raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} has no fingerprint")


def _all(kind: str, values: Iterable[object], update: Callable[[bytes], None]) -> None:
    values = list(values)
    _text(f"{kind} {len(values)}", update)
    for value in values:
        _add(value, update)


def _text(text: str, update: Callable[[bytes], None]) -> None:
    """Text with its length in front, so that no two sequences of texts are the same bytes."""
    content = text.encode()
    update(f"{len(content)} ".encode() + content)
