"""The command ``compare``: two builds side by side."""

from functools import partial
from pathlib import Path

import click

from hwgen.cli.as_json import JSON_OPTIONS, say
from hwgen.cli.config import ConfiguredCommand
from hwgen.cli.options import COMMON_OPTIONS, PATH, options


@click.command(cls=ConfiguredCommand, short_help="Compare two builds: speed, resources, layers.")
@click.argument("first", metavar="A", type=PATH)
@click.argument("second", metavar="B", type=PATH)
@options(COMMON_OPTIONS, JSON_OPTIONS)
def compare(first: Path, second: Path, quiet: bool) -> None:
    """Put the builds in folders A and B side by side: cycles, latency, frames per second and resources, and the
    settings and layers that differ.

    \b
    Example:
      python -m hwgen compare build/lenet5 build/lenet5_faster
    """
    from hwgen.cli.commands import text_width
    from hwgen.graph.errors import InputError, Problems
    from hwgen.report.compare import Build, lines
    from hwgen.report.compare import compare as compared

    problems = Problems(InputError)
    read = (problems.attempt(partial(Build.read, folder)) for folder in (first, second))
    builds = [build for build in read if build is not None]
    problems.raise_any()
    found = compared(*builds)
    say(lambda: found)
    click.echo("\n".join(lines(found, text_width())))
