"""Lists in which something may be missing."""

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def complete(values: Iterable[T | None]) -> list[T] | None:
    """``values``, or None where one of them is missing."""
    given = list(values)
    present = [value for value in given if value is not None]
    return present if len(present) == len(given) else None
