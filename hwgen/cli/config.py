"""Options from a file of settings, ``hwgen.toml`` beside the model or ``--config FILE``; the command line wins.

Keys are named as the options are, and stand at the top for every command that has them, or in the table of one::

    multipliers = 148
    calibration = "digits"  # from the folder of this file

    [simulate]
    engine = "compiled"
"""

import json
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from hwgen.cli.groups import GroupedCommand

FILE = "hwgen.toml"

CONFIG = click.Option(
    ["--config"],
    metavar="FILE",
    expose_value=False,
    help=f"Options from this file; those given here win.  [default: {FILE} beside MODEL, if there is one]",
)


class ConfiguredCommand(GroupedCommand):
    """A command that takes options from a file too, if it takes a MODEL, and says which; what can be refused at once is
    refused before anything of it runs."""

    def __init__(self, *args, **extra):
        super().__init__(*args, **extra)
        if any(parameter.name == "model" for parameter in self.params):
            self.params.append(CONFIG)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """What the command line leaves open is taken from the file, and said on stderr."""
        file = _file(self, ctx, args)
        if file is None:
            return super().parse_args(ctx, args)
        group = ctx.parent.command if ctx.parent else None
        commands = group.commands if isinstance(group, click.Group) else {str(self.name): self}
        written = settings(file, str(self.name), commands, ctx)
        ctx.default_map = {option.name: value for option, _, value in written}
        rest = super().parse_args(ctx, args)
        taken = [
            f"{key(option)} = {json.dumps(text, ensure_ascii=False)}"
            for option, text, _ in written
            if ctx.get_parameter_source(option.name) is ParameterSource.DEFAULT_MAP
        ]
        if taken and not ctx.params.get("quiet"):
            click.echo(f"from {file}: {', '.join(taken)}", err=True)
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        if "model" in ctx.params:
            from hwgen.cli.preflight import preflight

            preflight(str(self.name), ctx.params)
        return super().invoke(ctx)


def _file(command: click.Command, ctx: click.Context, args: list[str]) -> Path | None:
    """The file that the command line asks for, or the one beside its model; None for help and where there is none."""
    if CONFIG not in command.params:
        return None
    given, _, order = command.make_parser(ctx).parse_args(list(args))
    if any(set(parameter.opts) & set(command.get_help_option_names(ctx)) for parameter in order):
        return None
    if isinstance(given.get("config"), str):
        return Path(given["config"])
    if not isinstance(given.get("model"), str):
        return None
    model = Path(given["model"])
    file = (model if model.is_dir() else model.parent) / FILE
    return file if file.exists() else None


def settings(
    file: Path, command: str, commands: Mapping[str, click.Command], ctx: click.Context
) -> list[tuple[click.Option, Any, Any]]:
    """What ``file`` sets for ``command``: each option, what is written, and the value; all of it is checked, whichever
    command runs. Raises :class:`InputError` with a line for each key that is wrong."""
    from hwgen.graph.errors import InputError

    found: dict[str, tuple[click.Option, Any, Any]] = {}
    problems = []
    for place, names, name, text in _entries(_loaded(file), commands):
        options = {each: option for each in names for option in _options(commands[each]) if key(option) == name}
        if not options:
            known = {key(option) for each in names for option in _options(commands[each])}
            problems.append(f"{file}: {place!r} is no option{_nearest(name, known)}")
            continue
        option = options.get(command) or next(iter(options.values()))
        try:
            value = read(option, text, file.parent, ctx)
        except (TypeError, click.BadParameter) as error:
            what = error.message if isinstance(error, click.BadParameter) else error
            problems.append(f"{file}: {place!r}: " + f"{what}".replace("\n", " "))
            continue
        if command in options:
            found[name] = (option, text, value)
    if problems:
        raise InputError(*problems)
    return list(found.values())


def _loaded(file: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(file.read_bytes().decode("utf-8"))
    except OSError as error:
        _refuse(f"{file}: cannot read the settings: {error.strerror}")
    except (ValueError, RecursionError) as error:
        _refuse(f"{file}: not TOML: " + f"{error}".replace("\n", " "))


def _refuse(problem: str) -> NoReturn:
    from hwgen.graph.errors import InputError

    raise InputError(problem) from None


def _entries(data: dict[str, Any], commands: Mapping[str, click.Command]) -> Iterator[tuple[str, list[str], str, Any]]:
    """Where each key stands, the commands it may be for, its name and what it is set to; tables last, as they win."""
    configured = [name for name, command in commands.items() if CONFIG in command.params]
    for name, value in data.items():
        if not (isinstance(value, dict) and name in configured):
            yield name, configured, name, value
    for table, values in data.items():
        if isinstance(values, dict) and table in configured:
            for name, value in values.items():
                yield f"{table}.{name}", [table], name, value


def _options(command: click.Command) -> list[click.Option]:
    """Those that a file may set: not ``--help``, ``--config`` and what is for one run."""
    return [each for each in command.params if isinstance(each, click.Option) and each.expose_value]


def key(option: click.Option) -> str:
    """The name of an option in the file: its long one."""
    return next(name for name in option.opts if name.startswith("--")).removeprefix("--")


def _nearest(name: str, known: set[str]) -> str:
    near = get_close_matches(name, sorted(known), 1)
    return f"; did you mean {near[0]!r}?" if near else "; keys are named as the options in --help"


def read(option: click.Option, value: Any, folder: Path, ctx: click.Context) -> Any:
    """The value of ``option`` that is written as ``value``; paths are from ``folder``. TypeError if it is of another
    type, click.BadParameter if it is out of range."""
    if option.multiple:
        value = [_plain(option, item, folder) for item in (value if isinstance(value, list) else [value])]
    elif isinstance(value, list) and hasattr(option.type, "item"):
        value = ",".join(str(_of_type(option.type.item, item)) for item in value)
    else:
        value = _plain(option, value, folder)
    return option.type_cast_value(ctx, value)


def _plain(option: click.Option, value: Any, folder: Path) -> Any:
    kind = getattr(option.type, "item", None) or _KINDS.get(type(option.type), str)
    value = _of_type(kind, value)
    if hasattr(option.type, "item"):
        return str(value)
    is_path = isinstance(option.type, click.Path) or option.metavar == "PATH"
    return str(folder / value) if is_path and value != "-" else value


_KINDS = {
    type(click.BOOL): bool,
    type(click.INT): int,
    click.IntRange: int,
    type(click.FLOAT): float,
    click.FloatRange: float,
}
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _of_type(kind: type, value: Any) -> Any:
    """``value`` if it is of ``kind``; whole numbers are numbers, too."""
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    raise TypeError(f"must be {_WORDS[kind]}, not {json.dumps(value, default=str)}")
