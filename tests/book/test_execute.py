"""The executor: a re-run changes nothing, a real change shows, and a failure leaves the file alone."""

import execute
import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

LIMITS = list(execute.BUCKETS)


def write(path, *sources):
    cells = [nbformat.v4.new_markdown_cell("# Small\n\nAt a glance\n\n**Running time**: ?.")]
    cells += [nbformat.v4.new_code_cell(source, metadata={"collapsed": True}) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def test_running_again_changes_nothing(tmp_path):
    path = tmp_path / "small.ipynb"
    write(path, "print('a')\nprint('b')", "6 * 7", "")
    assert execute.execute(path)[1]
    first = path.read_bytes()
    assert not execute.execute(path)[1]
    assert path.read_bytes() == first
    notebook = nbformat.read(path, as_version=4)
    assert [cell.get("execution_count") for cell in notebook.cells] == [None, 1, 2, None]
    assert notebook.cells[1].outputs[0].text == "a\nb\n"
    assert notebook.cells[0].source.endswith("**Running time**: under 10 seconds on 2 CPU cores.")
    assert notebook.metadata["pinnedu"]["running_time"] == "under 10 seconds"
    assert "collapsed" not in notebook.cells[1].metadata
    assert list(tmp_path.iterdir()) == [path]


def test_a_real_change_shows(tmp_path):
    path = tmp_path / "small.ipynb"
    write(path, "6 * 7")
    execute.execute(path)
    before = path.read_text()
    path.write_text(before.replace("6 * 7", "6 * 9"))
    execute.execute(path)
    assert '"54"' in path.read_text()


def test_seconds_alone_are_no_change(tmp_path):
    path = tmp_path / "small.ipynb"
    write(path, "import time", "print(time.perf_counter())", "6 * 7")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].metadata["tags"] = ["timing"]
    nbformat.write(notebook, path)
    execute.execute(path)
    first = path.read_bytes()
    assert not execute.execute(path)[1]
    assert path.read_bytes() == first
    path.write_text(first.decode().replace("6 * 7", "6 * 9"))
    assert execute.execute(path)[1]
    then, now = (nbformat.reads(text, as_version=4) for text in (first.decode(), path.read_text()))
    assert then.cells[2].outputs != now.cells[2].outputs, "all outputs of a chapter come from one run"
    path.write_text(path.read_text().replace("print(time.perf_counter())", "print('other code')"))
    assert execute.execute(path)[1], "its own code changed, not only its seconds"
    assert "other code" in nbformat.read(path, as_version=4).cells[2].outputs[0].text


@pytest.mark.parametrize("error", ["1 / 0", "raise KeyboardInterrupt"])
def test_a_failure_leaves_the_file_alone(tmp_path, error):
    path = tmp_path / "small.ipynb"
    write(path, "print('before')", error)
    before = path.read_bytes()
    with pytest.raises(execute.CellExecutionError):
        execute.execute(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_leaves_the_file_alone(tmp_path, monkeypatch, capsys):
    path = tmp_path / "small.ipynb"
    write(path, "1")
    before = path.read_bytes()

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(execute.NotebookClient, "execute", interrupted)
    monkeypatch.setattr(execute, "notebooks", lambda: [path])
    assert execute.main([]) == 130
    assert "left as it was" in capsys.readouterr().out
    assert path.read_bytes() == before


def test_an_unknown_chapter_is_named(capsys):
    assert execute.main(["hat"]) == 2
    assert "No chapter is called hat; there are: heat" in capsys.readouterr().err


@given(st.floats(0.01, LIMITS[-1]), st.sampled_from([None, *execute.BUCKETS.values()]))
def test_the_stated_time_is_never_too_short_and_stays(seconds, before):
    stated = execute.bucket(seconds, before)
    limit = next(limit for limit in LIMITS if execute.BUCKETS[limit] == stated)
    assert seconds <= limit
    assert execute.bucket(seconds, stated) == stated


def test_a_chapter_that_takes_too_long_is_refused():
    with pytest.raises(ValueError, match="took 400 s and the limit is 360 s: shorten it"):
        execute.bucket(400)
