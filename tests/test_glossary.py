"""docs/glossary.md: every word is one that the code or the documents use, and the file beside it knows it."""

import re

import pytest

from tests.shared import ROOT

PAGE = ROOT / "docs/glossary.md"
ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| `([^`|]+)` \|$")
LINES = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][1:]
ROWS = [ROW.match(line) for line in LINES]
WORDS = [row and row[1] for row in ROWS]
#: What makes a file of this repository of a path in a sentence.
FILE = re.compile(r"`((?:hwgen|docs|tests|examples|benchmarks)/[^`]*)`")


def used(word: str, text: str) -> bool:
    """Whether ``text`` has the word, or its parts one after the other, in the singular or the plural, as words of
    prose or in the name of a class or function."""
    parts = r"[\s_]*".join(re.escape(part) for part in word.split())
    return re.search(rf"(?<![a-z]){parts}(?:s|es|en|ing)?(?![a-z])", spaced(text), re.IGNORECASE) is not None


def spaced(text: str) -> str:
    """``text`` with the words of names apart: ``RingWindow`` becomes ``Ring Window``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)


def test_every_line_is_a_word_what_it_means_and_a_file():
    assert all(ROWS), [line for line, row in zip(LINES, ROWS, strict=True) if not row]
    assert len(ROWS) >= 40


def test_words_stand_in_order_and_once():
    assert sorted(set(WORDS)) == WORDS


@pytest.mark.parametrize("row", ROWS, ids=WORDS)
def test_the_file_beside_a_word_is_there_and_uses_it(row):
    path = ROOT / row[3]
    assert path.is_file(), f"{row[1]}: {row[3]} is not there"
    assert used(row[1], path.read_text(encoding="utf-8")), f"{row[3]} does not know the word {row[1]!r}"


@pytest.mark.parametrize("row", ROWS, ids=WORDS)
def test_files_and_names_in_a_meaning_are_there(row):
    for name in FILE.findall(row[2]):
        assert (ROOT / name).is_file(), f"{row[1]}: {name} is not there"


@pytest.mark.parametrize(
    ("word", "text", "found"),
    [
        ("ring window", "class RingWindow:", True),
        ("credit", "Credits left over", True),
        ("pack", "packs: int", True),
        ("lane", "planes", False),
        ("take", "taken = mistake", False),
        ("ring window", "the ring", False),
    ],
)
def test_a_word_that_nobody_uses_is_found(word, text, found):
    assert used(word, text) is found


def test_the_readme_leads_here():
    assert "docs/glossary.md" in (ROOT / "README.md").read_text(encoding="utf-8")
