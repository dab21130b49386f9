"""Options stand under headings in the help of each command, every one once."""

import re

import pytest
from click.testing import CliRunner

from hwgen.cli.groups import HEADINGS, OWN
from hwgen.cli.main import cli


def sections(command):
    """The long names of the options below each heading."""
    text = CliRunner().invoke(cli, [command, "--help"]).stdout
    parts = re.split(rf"^({'|'.join((OWN, *HEADINGS))}):\n", text, flags=re.MULTILINE)
    entry = re.compile(r"^  (?:-\w, )?(--[a-z-]+)", re.MULTILINE)
    return dict(zip(parts[1::2], map(entry.findall, parts[2::2]), strict=True))


def test_help_of_build_is_in_groups():
    found = sections("build")
    assert list(found) == [heading for heading in HEADINGS if heading in found]
    assert found["Model"] == ["--calibration", "--input-shape", "--outputs"]
    assert found["Frames"] == ["--scale", "--mean", "--std", "--resize"]
    assert found["Sizing"][:2] == ["--multipliers", "--fps"]
    assert found["Quantiser"] == ["--ranges", "--equalize", "--correct-bias", "--wide"]
    assert found["Board"] == ["--board", "--bitstream", "--baud", "--placements"]
    assert found["Output"] == ["--output", "--project"]
    assert {"--quiet", "--debug", "--help"} <= set(found["Common"])


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_option_is_listed_once(command):
    listed = [name for names in sections(command).values() for name in names]
    own = [option for option in cli.commands[command].params if option.param_type_name == "option"]
    assert len(listed) == len(set(listed)) == len(own) + 1  # --help


def test_what_only_one_command_has_stands_first():
    found = sections("simulate")
    assert next(iter(found)) == OWN
    assert {"--engine", "--stall", "--trace", "--jobs", "--against"} <= set(found[OWN])
    assert found["Frames"][:3] == ["--input", "--frames", "--labels"]


def test_headings_name_options_that_there_are():
    known = {option.name for command in cli.commands.values() for option in command.params}
    assert {name for names in HEADINGS.values() for name in names} - {"json"} <= known
