"""What is public says what it is for, and functions stay small.

A method is documented by a base class whose method of that name is: ``golden``, ``cost`` or ``actors`` mean the same
in every operator. ``elaborate`` is Amaranth's.
"""

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from statistics import median

import pytest

from .test_architecture import MODULES

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_AMARANTH = {"elaborate"}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def public(nodes: list[ast.stmt], *kinds: type) -> list:
    return [node for node in nodes if isinstance(node, kinds) and not node.name.startswith("_")]


def undocumented(name: str) -> Iterator[str]:
    """Public classes, functions and methods of a module that neither they nor a base class say anything of."""
    body = tree(MODULES[name]).body
    for node in public(body, ast.ClassDef, *_FUNCTIONS):
        if not ast.get_docstring(node):
            yield node.name
        if isinstance(node, ast.ClassDef):
            methods = [
                m for m in public(node.body, *_FUNCTIONS) if not ast.get_docstring(m) and m.name not in _AMARANTH
            ]
            bases = getattr(import_module(name), node.name).__mro__[1:] if methods else ()
            yield from (f"{node.name}.{m.name}" for m in methods if not _said(bases, m))


def _said(bases: tuple[type, ...], method: ast.FunctionDef) -> bool:
    """Whether a base class documents the method, or it is what sets a property that is documented."""
    setter = any(isinstance(each, ast.Attribute) and each.attr == "setter" for each in method.decorator_list)
    return setter or any(getattr(vars(base).get(method.name), "__doc__", None) for base in bases)


@pytest.mark.parametrize("name", MODULES)
def test_what_is_public_has_a_docstring(name):
    assert not list(undocumented(name)), f"{name}: say in a sentence what each is for (shapes, units, errors)"


def test_functions_are_small():
    """Lines from ``def`` to the end, of all functions, methods and nested functions."""
    found = [node for path in MODULES.values() for node in ast.walk(tree(path)) if isinstance(node, _FUNCTIONS)]
    sizes = sorted(node.end_lineno - node.lineno + 1 for node in found)
    assert sizes[-1] <= 63
    assert sizes[int(0.95 * len(sizes))] <= 22
    assert median(sizes) <= 6


@pytest.mark.parametrize("said", [True, False])
def test_a_method_is_documented_by_its_base(said):
    class Base:
        def method(self):
            pass

    Base.method.__doc__ = "What it does." if said else None
    (method,) = ast.parse("def method(self): pass").body
    assert _said((Base, object), method) == said
