"""Folders appear whole or not at all."""

import json

import pytest

from hwgen.graph.errors import InputError
from hwgen.output import atomic_file, atomic_folder, check_replaceable, write_together
from hwgen.tools.manifest import MANIFEST, manifest


def build(path, text="new"):
    """Build with one file; an exception class for ``text`` is raised half-way."""
    with atomic_folder(path) as folder:
        (folder / "sub").mkdir()
        if isinstance(text, type):
            (folder / "half.txt").write_text("half")
            raise text
        (folder / "sub" / "a.txt").write_text(text)


def stopped(path, error):
    """Write half a file."""
    with atomic_file(path) as partial:
        assert partial.name == path.name
        partial.write_text("half")
        raise error


def listing(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_build_appears_whole_with_its_manifest(tmp_path):
    build(tmp_path / "deep" / "er" / "net")
    assert listing(tmp_path / "deep" / "er") == ["net", "net/manifest.json", "net/sub", "net/sub/a.txt"]
    said = json.loads((tmp_path / "deep/er/net" / MANIFEST).read_text())
    assert said["files"]["sub/a.txt"]["bytes"] == 3
    assert set(said["files"]) == {"sub/a.txt"}
    assert said == manifest(tmp_path / "deep/er/net")
    assert {"hwgen", "amaranth", "yosys"} <= set(said["tools"])


def test_the_manifest_does_not_depend_on_the_folder_or_the_time(tmp_path):
    build(tmp_path / "a")
    build(tmp_path / "b")
    assert (tmp_path / "a" / MANIFEST).read_bytes() == (tmp_path / "b" / MANIFEST).read_bytes()


def test_an_earlier_build_is_replaced_as_a_whole(tmp_path):
    with atomic_folder(tmp_path / "net") as folder:
        (folder / "old.txt").write_text("old")
    build(tmp_path / "net")
    assert listing(tmp_path) == ["net", "net/manifest.json", "net/sub", "net/sub/a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_after_an_error_everything_is_as_it_was(tmp_path, error):
    build(tmp_path / "net", "kept")
    for place in ("net", "new", "a/b/new"):
        with pytest.raises(error):
            build(tmp_path / place, error)
    assert listing(tmp_path) == ["net", "net/manifest.json", "net/sub", "net/sub/a.txt"]
    assert (tmp_path / "net/sub/a.txt").read_text() == "kept"


def test_a_failed_exchange_puts_the_earlier_build_back(tmp_path, monkeypatch):
    build(tmp_path / "net", "kept")
    rename = type(tmp_path).rename

    def fail(self, target):
        if ".partial." in self.name:
            raise OSError("disk full")
        return rename(self, target)

    monkeypatch.setattr(type(tmp_path), "rename", fail)
    with pytest.raises(OSError, match="disk full"):
        build(tmp_path / "net")
    monkeypatch.undo()
    assert listing(tmp_path) == ["net", "net/manifest.json", "net/sub", "net/sub/a.txt"]
    assert (tmp_path / "net/sub/a.txt").read_text() == "kept"


def test_a_folder_of_someone_else_is_not_touched(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("ten years")
    with pytest.raises(InputError, match=r"home has files that are not from a build .*name another folder"):
        build(tmp_path / "home")
    assert (tmp_path / "home" / "thesis.txt").read_text() == "ten years"
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file is a file"):
        build(tmp_path / "file")
    with pytest.raises(InputError, match=r"cannot write to .*file: Not a directory"):
        build(tmp_path / "file" / "sub" / "net")


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "net").mkdir()
    build(tmp_path / "net")
    assert (tmp_path / "net" / "sub" / "a.txt").exists()


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_done(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write to .*file: Not a directory; name another folder"):
        check_replaceable(tmp_path / "file" / "deep" / "net")
    check_replaceable(tmp_path / "new" / "net")
    assert listing(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_file_appears_whole_or_not_at_all(tmp_path, error):
    for before in (None, "kept"):
        with pytest.raises(error):
            stopped(tmp_path / "a/b/file.vcd", error)
        assert listing(tmp_path) == (["a", "a/b", "a/b/file.vcd"] if before else [])
        with atomic_file(tmp_path / "a/b/file.vcd") as partial:
            partial.write_text("kept")
    assert (tmp_path / "a/b/file.vcd").read_text() == "kept"


def test_several_files_appear_together(tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        write_together(tmp_path / "other", {"a.v": "text", "missing/b.hex": "text"})
    assert caught.value.filename == str(tmp_path / "other/missing/b.hex")
    assert listing(tmp_path) == ["other"]
    write_together(tmp_path / "other", {"a.v": "text", "b.hex": "more"})
    assert listing(tmp_path) == ["other", "other/a.v", "other/b.hex"]
