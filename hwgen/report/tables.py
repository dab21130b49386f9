"""Tables and lines of plain text, in letters that every terminal, file and mail can show."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping
from io import StringIO
from typing import Literal

_RULES = "    \n    \n -- \n    \n    \n -- \n    \n    \n"  # a line below the heads and above the footer


def by(sizes: Iterable[int]) -> str:
    """``28x28x6``."""
    return "x".join(map(str, sizes))


def counts(values: Mapping[str, int], *names: str) -> list[str]:
    """Those of ``values`` that have these names, as tables show whole numbers."""
    return [f"{values[name]:,}" for name in names]


def shortened(names: Iterable[str], most: int) -> dict[str, str]:
    """Names of at most ``most`` characters: the end of one says more than its beginning in what the common exporters
    write. Where ends are alike, the place in the list tells them apart."""
    names = tuple(names)
    ends = Counter(name[-(most - 2) :] for name in names)

    def short(place: int, name: str) -> str:
        if len(name) <= most:
            return name
        mark = ".." if ends[name[-(most - 2) :]] == 1 else f"#{place}.."
        return mark + name[len(mark) - most :]

    return {name: short(place, name) for place, name in enumerate(names, 1)}


def labelled(names: Iterable[tuple[str, str]], most: int) -> dict[str, str]:
    """What to show for layers of which each has a name of its own and one in the model: both where they differ and
    the model's is short enough for all ``most`` characters, else only its own."""
    nodes = dict(names)
    cut = shortened(nodes, most)

    def label(name: str, node: str) -> str:
        return f"{name}  {node}" if name != node and len(name) + 2 + len(node) <= most else cut[name]

    return {name: label(name, node) for name, node in nodes.items()}


def wrapped(lines: list[str], width: int) -> list[str]:
    """Lines that are too long go on in the next one, indented; tables are not."""
    return [part for line in lines for part in ([line] if len(line) <= width else _wrap(line, width))]


def _wrap(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, subsequent_indent=" " * 13, break_on_hyphens=False)


def table(
    columns: Iterable[str], rows: Iterable[Iterable[str]], width: int, footer: Iterable[str] | None = None
) -> list[str]:
    """The lines of a table in plain text; columns whose name begins with ``<`` are numbers and lie right."""
    from rich.box import Box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    columns = tuple(columns)
    grid = Table(box=Box(_RULES, ascii=True), pad_edge=False, show_edge=False, show_footer=footer is not None)
    for name, foot in zip(columns, footer or [""] * len(columns), strict=True):
        number = name.startswith("<")
        side: Literal["left", "right"] = "right" if number else "left"
        grid.add_column(Text(name.removeprefix("<")), Text(foot), justify=side, no_wrap=number, overflow="fold")
    for row in rows:
        grid.add_row(*map(Text, row))
    stream = StringIO()
    console = Console(file=stream, width=width, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(grid)
    return [line.rstrip() for line in stream.getvalue().rstrip("\n").split("\n")]
