"""How commands end, whatever happens: status 0 done, 1 a fault of ours, 2 a problem with what was given (one ``error:``
line each, on stderr), 130 interrupted.
"""

import errno
import os
import sys
import traceback

import click

from hwgen.cli.as_json import Answer, kind
from hwgen.cli.config import ConfiguredCommand

INTERRUPTED = 130


class Guarded(click.Group):
    """A group of commands that ends with one clear line per problem, never with a traceback unless asked for one."""

    command_class = ConfiguredCommand

    def main(self, args=None, prog_name=None, complete_var=None, standalone_mode=True, **extra):
        given = sys.argv[1:] if args is None else args
        answer = Answer("--json" in given)
        try:
            # What `Context.exit` was called with is returned here, not raised; commands themselves return None.
            status = super().main(args, prog_name, complete_var, standalone_mode=False, obj=answer, **extra)
            answer.show()
        except (KeyboardInterrupt, click.Abort) as error:
            _finish(answer, kind(error), INTERRUPTED, "interrupted")
        except click.exceptions.Exit as error:
            sys.exit(error.exit_code)
        except click.ClickException as error:
            _finish(answer, kind(error), 2, *_usage(error))
        except BrokenPipeError:
            # Whoever read our output has seen enough; nothing more may be written to it at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except Exception as error:
            if _was_interrupted(error):
                _finish(answer, "interrupted", INTERRUPTED, "interrupted")
            _finish(answer, kind(error), *_explain(error, "--debug" in given))
        sys.exit(status or 0)


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is what an error came of: some are made of it, as where a class was being made on import."""
    seen = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _usage(error: click.ClickException) -> list[str]:
    message = error.format_message().replace("\n", " ")
    context = getattr(error, "ctx", None)
    return [f"error: {message}" + (f" (see {context.command_path} --help)" if context else "")]


def _explain(error: Exception, debug: bool) -> tuple:
    """Exit status and lines for an exception, whose traceback is shown first where it is asked for."""
    from hwgen.graph.errors import HwgenError

    if debug:
        click.echo(traceback.format_exc(), err=True, nl=False)
    if isinstance(error, HwgenError):
        return (2, *(f"error: {problem}" for problem in error.problems))
    if isinstance(error, OSError | MemoryError):
        return (2, f"error: {_system(error)}")
    what = " ".join(f"{type(error).__name__}: {error}".split())
    hint = "" if debug else " Run again with --debug for the traceback, and please report it."
    return (1, f"error: a fault in hwgen, not in your input: {what}.{hint}")


def _system(error: OSError | MemoryError) -> str:
    """What the machine refused."""
    if isinstance(error, MemoryError):
        return "out of memory; close other programs, or take fewer frames or a smaller model"
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        reason += "; make room, or name another folder with --output"
    return f"{error.filename!r}: {reason}" if error.filename is not None else f"cannot write: {reason}"


def _finish(answer: Answer, kind: str, status: int, *lines: str) -> None:
    """End with ``lines`` on stderr, and in the answer where that is asked for."""
    for line in lines:
        click.echo(line, err=True)
    answer.fail(kind, lines)
    sys.exit(status)
