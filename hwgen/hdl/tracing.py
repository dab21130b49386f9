"""Names of signals that are the same from every Python.

Amaranth names a signal after the variable that it is assigned to, which it guesses from the interpreter's bytecode.
That changes from one version of Python to the next, and the names with it. Here they are read from the source instead:
the statement on the line that makes the signal says what the result is called. Importing this module makes it so.
"""

import ast
import linecache
import sys
import threading
from functools import cache
from types import FrameType

from amaranth import tracer

_by_bytecode, _absent = tracer.get_var_name, object()

#: Frames of their own before Python 3.12, and none since.
_COMPREHENSIONS = {"<listcomp>", "<setcomp>", "<dictcomp>"}


class _Last(threading.local):
    """Where the last name was asked for: of several in one statement each has its turn."""

    names: tuple[str, ...] = ()
    instruction: int = 0
    turn: int = 0


_last = _Last()


def name_in_source(depth: int = 2, default=_absent):
    """What the result of the call in the frame ``depth`` above is assigned to, else ``default``; stands for
    ``amaranth.tracer.get_var_name``."""
    frame = _above(sys._getframe(0), depth)
    names = _targets(frame.f_code.co_filename).get(frame.f_lineno)
    if names:
        onward = names is _last.names and frame.f_lasti > _last.instruction
        _last.turn = (_last.turn + 1) % len(names) if onward else 0
        _last.names, _last.instruction = names, frame.f_lasti
        return names[_last.turn]
    # Without a default a name is required, as of a clock domain: none in our hardware depends on it.
    return _by_bytecode(depth + 1) if default is _absent else default


def _above(frame: FrameType, depth: int) -> FrameType:
    """The frame ``depth`` above, in which a comprehension counts as part of its function."""
    for _ in range(depth):
        while frame.f_code.co_name in _COMPREHENSIONS:
            frame = _back(frame)
        frame = _back(frame)
    return frame


def _back(frame: FrameType) -> FrameType:
    """The frame of the caller; the outermost has none, and is its own."""
    return frame.f_back or frame


def _lines(statement: ast.stmt) -> range:
    return range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)


@cache
def _targets(file: str) -> dict[int, tuple[str, ...]]:
    """By line, what its statement assigns the results of calls to: one, or several from left to right."""
    if file.startswith("<"):  # a prompt's input: only some versions keep it
        return {}
    targets = {}
    for statement in ast.walk(ast.parse("".join(linecache.getlines(file)))):
        if isinstance(statement, ast.stmt) and (names := _names(statement)):
            targets.update(dict.fromkeys(_lines(statement), names))
    return targets


def _names(statement: ast.stmt) -> tuple[str, ...]:
    match statement:
        case ast.Assign(targets=[target, *_], value=ast.Call()) | ast.AnnAssign(target=target, value=ast.Call()):
            return _name(target)
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)) if all(map(_is_call, values)):
            pairs = zip(targets, values, strict=False)
            return tuple(name for target, value in pairs if not _is_named(value) for name in _name(target))
    return ()


def _name(target: ast.AST) -> tuple[str, ...]:
    match target:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return (name,)
    return ()


def _is_call(value: ast.AST) -> bool:
    return isinstance(value, ast.Call)


def _is_named(call: ast.expr) -> bool:
    """Whether the call says the name itself, so that nobody asks for one."""
    return isinstance(call, ast.Call) and any(keyword.arg == "name" for keyword in call.keywords)


tracer.get_var_name = name_in_source
