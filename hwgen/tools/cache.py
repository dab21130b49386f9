"""What is kept between runs: ``hwgen`` in the user's cache folder, or ``$HWGEN_CACHE_DIR``.

Everything there can be made again. What is there is whole, whoever writes at the same time; where nothing can be
written, nothing is kept.
"""

import atexit
import os
import shutil
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path


def folder(kind: str) -> Path:
    """Where things of a ``kind`` are kept; it need not exist."""
    if given := os.environ.get("HWGEN_CACHE_DIR"):
        return Path(given) / kind
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(base or Path.home() / ".cache") / "hwgen" / kind
    except RuntimeError:  # there is no home
        return _own() / kind


def writable_folder(kind: str) -> Path:
    """:func:`folder`, made where it is missing; one of this process alone where it cannot be written."""
    place = folder(kind)
    with suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
        if os.access(place, os.W_OK):
            return place
    place = _own() / kind
    place.mkdir(exist_ok=True)
    return place


@lru_cache(maxsize=1)
def _own() -> Path:
    # Not a well-known name below /tmp: some of what lies there is executed, so it must be ours alone.
    own = tempfile.mkdtemp(prefix="hwgen_cache_")
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return Path(own)


def keep(file: Path, content: str | bytes, most: int | None = None) -> None:
    """Write a file whole; one that cannot be written is made again the next time. Of its kind stay ``most``, those
    last used."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            partial = Path(folder) / file.name
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
            partial.replace(file)
        if most is not None:
            files = sorted(file.parent.glob(f"*{file.suffix}"), key=lambda path: path.stat().st_mtime, reverse=True)
            for old in files[most:]:
                old.unlink()


def recall(file: Path) -> bytes | None:
    """What was kept, which counts as used now; None where there is nothing."""
    with suppress(OSError):
        content = file.read_bytes()
        os.utime(file)
        return content
    return None
