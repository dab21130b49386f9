"""Options under headings in ``--help``, so that forty of them can be read."""

from typing import Any

import click

#: Headings in the order in which they stand, and the options below them. The others are the command's own; they come
#: first, as "Options".
HEADINGS = {
    "Model": ("calibration", "input_shape", "outputs"),
    "Frames": ("inputs", "frames", "labels", "scale", "mean", "std", "resize"),
    "Sizing": ("multipliers", "fps", "clock", "device", "latency", "plan", "weights"),
    "Quantiser": ("ranges", "equalize", "correct_bias", "wide"),
    "Board": ("board", "port", "bitstream", "baud", "placements"),
    "Output": ("output", "projects", "save", "picture"),
    "Common": ("config", "quiet", "json", "debug"),
}
OWN = "Options"
_PLACES = {name: heading for heading, names in HEADINGS.items() for name in names}


class GroupedCommand(click.Command):
    """A command whose help lists its options by what they are about."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        listed: dict[str, list[Any]] = {heading: [] for heading in (OWN, *HEADINGS)}
        for option in self.params:
            if isinstance(option, click.Option):
                listed[_PLACES.get(option.name or "", OWN)].append(option.get_help_record(ctx))
        if help_option := self.get_help_option(ctx):
            listed["Common"].append(help_option.get_help_record(ctx))
        for heading, records in listed.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
