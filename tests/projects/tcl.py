"""Tcl interpreters in which the commands of vendors' tools are replaced by ones that check what they are given.

Commands that are not here do not exist, and stop a script as in the tool.
"""

import re
from pathlib import Path
from tkinter import Tcl, TclError


class Tool:
    """An interpreter with stand-ins: methods ``do_NAME`` are commands, ``__`` in their names stands for ``::``."""

    def __init__(self):
        self.tcl = Tcl()
        self.calls: list[tuple[str, ...]] = []
        self.fault = ""
        for method in dir(self):
            if method.startswith("do_"):
                self._add(method.removeprefix("do_").replace("__", "::"), getattr(self, method))

    def _add(self, name, method):
        if "::" in name:
            self.tcl.eval(f"namespace eval {name.rpartition('::')[0]} {{}}")

        def call(*arguments):
            self.calls.append((name, *map(str, arguments)))
            try:
                found = method(*map(str, arguments))
            except Exception as error:  # tkinter stops the script, and forgets why
                self.fault = f"{name} {' '.join(map(str, arguments))}: {error!r}"
                raise
            return self.tcl.call("list", *found) if isinstance(found, list | tuple) else "" if found is None else found

        self.tcl.createcommand(name, call)

    def split(self, text):
        return [str(item) for item in self.tcl.splitlist(text)]

    def run(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert self.tcl.call("info", "complete", text)
        try:
            self.tcl.eval(f"source {{{path}}}")
        except TclError as error:
            raise AssertionError(self.fault or str(error)) from None


def options(arguments, flags=(), valued=()):
    """Split ``-flag`` and ``-option value`` from the rest; anything else that begins with a dash is refused."""
    found, rest, pending = {}, [], iter(arguments)
    for word in pending:
        if word in flags:
            found[word] = True
        elif word in valued:
            found[word] = next(pending)
        elif re.match(r"-[a-z]", word):
            raise ValueError(f"unknown option {word}")
        else:
            rest.append(word)
    return found, rest
