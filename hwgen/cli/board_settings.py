"""What ``--board`` implies for the other settings of a command."""

from typing import Any

import click

from hwgen.board.bitstream import check_tools
from hwgen.board.boards import Board
from hwgen.board.boards import board as find_board
from hwgen.graph.errors import InputError


def for_board(settings: dict[str, Any], bitstream: bool) -> Board | None:
    """Takes ``board`` and ``baud`` off ``settings`` and puts in what they imply: the device and the clock.

    The board if a bitstream is asked for. Raises InputError for what does not go together or is not installed.
    """
    name = settings.pop("board")
    if name is None:
        if bitstream:
            raise InputError("--bitstream needs --board; `python -m hwgen boards` lists them")
        return None
    board = find_board(name)
    if settings["device"] not in (None, board.device):
        raise InputError(f"the board {board.name} has a {board.device}, not a {settings['device']}: leave out --device")
    settings["device"] = board.room if bitstream else board.device
    if not clock_given():
        settings["clock"] = board.clock.mhz
    if bitstream:
        check_tools(board)
    return board if bitstream else None


def clock_given() -> bool:
    """Whether the command was given a clock."""
    return click.get_current_context().get_parameter_source("clock") is not click.core.ParameterSource.DEFAULT
