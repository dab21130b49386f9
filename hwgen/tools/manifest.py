"""``manifest.json``: the files of a build with their hashes, which marks its folder as one."""

import hashlib
import importlib.metadata
import json
from pathlib import Path

from hwgen import __version__
from hwgen.tools.yosys import release

#: Packages whose versions decide what is written, beside Yosys.
TOOLS = ("amaranth", "numpy", "onnx")

MANIFEST = "manifest.json"


def manifest(folder: Path | str) -> dict:
    """Every file below ``folder`` with its SHA-256 and size in bytes, and the versions of the tools; no dates."""
    folder = Path(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    return {
        "files": {path.relative_to(folder).as_posix(): _describe(path) for path in files},
        "tools": {
            "hwgen": __version__,
            **{tool: importlib.metadata.version(tool) for tool in TOOLS},
            "yosys": release(),
        },
    }


def _describe(path: Path) -> dict:
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def write_manifest(folder: Path | str) -> None:
    """Write :func:`manifest` into ``folder``; it marks the folder as a build."""
    text = json.dumps(manifest(folder), indent=2, sort_keys=True) + "\n"
    (Path(folder) / MANIFEST).write_text(text, encoding="utf-8", newline="\n")
