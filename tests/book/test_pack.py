"""The offline copy: complete, the same bytes each time, and it opens from where it is unpacked."""

import zipfile

import chapters
import pack
import pytest
import reader


def test_the_archive_is_whole_and_reproducible(tmp_path):
    first, second = tmp_path / "a.zip", tmp_path / "b.zip"
    assert pack.pack(first) < 60e6
    pack.pack(second)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        archive.extractall(tmp_path)
        assert archive.testzip() is None
    top = tmp_path / pack.TOP
    assert "html/book/index.html" in (top / "index.html").read_text()
    for page in chapters.pages():
        assert (top / "html" / page.relative_to(chapters.ROOT)).with_suffix(".html").exists()
    for notebook in chapters.notebooks():
        assert (top / "notebooks" / notebook.name).read_bytes() == (reader.BUILT / notebook.name).read_bytes()
    assert (top / "notebooks" / "studies" / "failures.json").exists()
    assert (top / "pinnedu" / "__init__.py").exists()
    assert (top / "pinnedu" / "data" / "cylinder_wake.npz").exists()
    assert (top / "pyproject.toml").exists()


def test_no_book_no_archive(tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "ROOT", tmp_path)
    with pytest.raises(FileNotFoundError, match="run `make build` first"):
        pack.contents()
