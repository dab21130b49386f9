"""Folders that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hwgen.export import MANIFEST, write_manifest
from hwgen.graph.errors import InputError


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """A new folder to write into, which becomes ``path`` when the block ends, its manifest included.

    After an error or Ctrl-C nothing is left of it and ``path`` is as it was. A previous build at ``path`` is
    replaced as a whole. Raises :class:`InputError`, before anything is done, where ``path`` is something
    else: a file, or a folder with files that no build has made.
    """
    path = Path(path).resolve()
    check_replaceable(path)
    made = _make_parents(path.parent)
    try:
        with _sibling(path, "partial") as folder:
            yield folder
            write_manifest(folder)
            _replace(folder, path)
    except BaseException:
        for parent in made:
            with suppress(OSError):  # someone else has put something there
                parent.rmdir()
        raise


def check_replaceable(path: Path | str) -> None:
    """Raise :class:`InputError` if a build must not be written to ``path``."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file: name a folder that is new or holds an earlier build")
    if path.is_dir() and any(path.iterdir()) and not (path / MANIFEST).is_file():
        raise InputError(
            f"{path} has files that are not from a build (no {MANIFEST} among them), and a build would delete them: "
            "name another folder"
        )
    _try_beside(path.resolve())


def _try_beside(path: Path) -> None:
    """Raise :class:`InputError` where no folder can be made for ``path``, which is tried and undone: permissions alone
    do not tell."""
    near = next(parent for parent in path.parents if parent.exists())
    try:
        Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=near)).rmdir()
    except OSError as error:
        raise InputError(f"cannot write to {near}: {error.strerror}; name another folder") from error


@contextmanager
def _sibling(path: Path, what: str) -> Iterator[Path]:
    """A hidden folder beside ``path``, on the same disk so that it can be renamed; gone at the end."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.{what}.", dir=path.parent))
    except OSError as error:
        raise InputError(f"cannot write to {path.parent}: {error.strerror}; name another folder") from error
    try:
        folder.chmod(0o777 & ~_umask())  # mkdtemp makes it private
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _replace(folder: Path, path: Path) -> None:
    """Rename ``folder`` to ``path``; what was there is put back if that fails."""
    if not path.exists():
        folder.rename(path)
        return
    with _sibling(path, "old") as attic:
        old = attic / path.name
        path.rename(old)
        try:
            folder.rename(path)
        except BaseException:
            old.rename(path)
            raise


def _make_parents(folder: Path) -> list[Path]:
    """Make ``folder`` and its parents where they are missing; returns those made, the innermost first."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {folder}: {error.strerror}; name another folder") from error
    return missing


def _umask() -> int:
    """The umask of the process, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
