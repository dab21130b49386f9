"""Folders and files that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from hwgen.graph.errors import InputError
from hwgen.tools.manifest import MANIFEST, write_manifest


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """A new folder to write into, which becomes ``path`` when the block ends, its manifest included.

    After an error or Ctrl-C nothing is left of it and ``path`` is as it was. A previous build at ``path`` is
    replaced as a whole. Raises :class:`InputError`, before anything is done, where ``path`` is something
    else: a file, or a folder with files that no build has made.
    """
    path = Path(path).resolve()
    check_replaceable(path)
    with _parents(path.parent), _sibling(path, "partial") as folder, _told_of(folder, path):
        yield folder
        write_manifest(folder)
        _replace(folder, path)


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """A file to write, of the same name, which becomes ``path`` when the block ends; after an error or Ctrl-C
    ``path`` is as it was, and no folder is left that was made for it."""
    path = Path(path).resolve()
    with _parents(path.parent), _sibling(path, "partial") as folder, _told_of(folder, path.parent):
        yield folder / path.name
        (folder / path.name).replace(path)


def write_whole(file: Path | str, content: bytes) -> None:
    """Write ``file`` so that it is there complete or not at all."""
    with atomic_file(file) as partial:
        partial.write_bytes(content)


def write_together(folder: Path | str, files: Mapping[str, str]) -> None:
    """Write the texts of ``files`` into ``folder``, which may hold others: all, or none where one cannot be."""
    folder = Path(folder).resolve()
    with _parents(folder), _sibling(folder / "files", "partial") as partial, _told_of(partial, folder):
        for name, text in files.items():
            (partial / name).write_text(text, encoding="utf-8", newline="\n")
        for name in files:
            (partial / name).replace(folder / name)


@contextmanager
def _told_of(folder: Path, wanted: Path) -> Iterator[None]:
    """What the system refuses in ``folder``, which nobody knows, is told of ``wanted``, what it would become."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            error.filename = str(error.filename).replace(str(folder), str(wanted))
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


def check_writable(*files: Path | str | None) -> None:
    """Raise :class:`InputError` if one of ``files``, those that are not None, cannot be written."""
    for file in files:
        if file is not None:
            _try_beside(Path(file).resolve())


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


@contextmanager
def _parents(folder: Path) -> Iterator[None]:
    """``folder`` and its parents, made where they are missing; those made are gone again after an error."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        _make(folder)
        yield
    except BaseException:
        for parent in missing:  # the innermost first
            with suppress(OSError):  # someone else has put something there
                parent.rmdir()
        raise


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {folder}: {error.strerror}; name another folder") from error


def _umask() -> int:
    """The umask of the process, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
