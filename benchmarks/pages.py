"""Tables of measured figures in the pages of docs/."""

from pathlib import Path


def put(text: str, page: Path, begin: str, end: str) -> None:
    """Put ``text`` into ``page``, between the lines ``begin`` and ``end``."""
    head, rest = page.read_text(encoding="utf-8").split(f"{begin}\n")
    tail = rest.split(f"{end}\n")[1]
    page.write_text(f"{head}{begin}\n{text}\n{end}\n{tail}", encoding="utf-8", newline="\n")
