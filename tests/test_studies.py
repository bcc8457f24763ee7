"""Studies: results by their parameters, and a digest that changes with the experiment and with nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from pinnedu import sweep
from pinnedu.studies import Results, Study, _digest, load, open_study, trial

SOURCE = '''
"""Says what it is."""

from pinnedu.studies import Claim, Study

FACTOR = 3
OTHER = 5


def times(x):
    return FACTOR * x


def run(x, seed):
    """Return a number."""
    return {"y": times(x) + seed / 8, "curve": [x, seed]}


study = Study(
    run,
    grid={"x": [1, 2], "seed": range(2)},
    claims=[Claim("rises", "It rises.", lambda r: r.where(x=2)["y"].min() > r.where(x=1)["y"].max(), row="R9")],
    cheap={"x": 1, "seed": 0},
    agree={"y": 1e-9},
)
'''


@pytest.fixture
def made(tmp_path):
    (tmp_path / "studies").mkdir()
    path = tmp_path / "studies" / "small.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


RESULTS = Results([({"x": x, "seed": s}, {"y": 10.0 * x + s, "curve": [x, s]}) for x in (1, 2) for s in (0, 1)])


def test_results_are_found_by_their_parameters():
    np.testing.assert_array_equal(RESULTS["y"], [10, 11, 20, 21])
    np.testing.assert_array_equal(RESULTS.where(x=2)["y"], [20, 21])
    np.testing.assert_array_equal(RESULTS.where(seed=1)["curve"], [[1, 1], [2, 1]])
    assert len(RESULTS.where(x=1, seed=0)) == 1


def test_what_is_not_there_is_told():
    with pytest.raises(ValueError, match="No run has x=3"):
        RESULTS.where(x=3)
    with pytest.raises(ValueError, match="No run has speed=1"):
        RESULTS.where(speed=1)
    with pytest.raises(ValueError, match="returned 'z'; all returned curve, y"):
        RESULTS["z"]


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("FACTOR = 3", "FACTOR = 4", True),
        ("FACTOR * x", "x * FACTOR", True),
        ("seed / 8", "seed / 9", True),
        ("OTHER = 5", "OTHER = 6", False),
        ("Says what it is", "Says it", False),
        ("Return a number", "A number", False),
        ("    return FACTOR", "    # why\n    return FACTOR", False),
        ("It rises", "It grows", False),
        ("range(2)", "range(3)", False),
        ('{"x": [1, 2], "seed": range(2)}', '[{"x": x, "seed": seed} for x in (1, 2) for seed in (0, 1)]', False),
        ("study = Study(", "unused = [x for x in range(9)]\n\nstudy = Study(", False),
    ],
)
def test_the_digest_changes_with_the_experiment_alone(old, new, changes):
    assert old in SOURCE
    assert (_digest(SOURCE, "run") != _digest(SOURCE.replace(old, new), "run")) is changes


def test_a_study_is_opened_from_a_notebook_beside_it_and_from_above(made, monkeypatch):
    for folder in (made.parents[1], made.parent):
        monkeypatch.chdir(folder)
        assert open_study("small").runs == [{"x": x, "seed": s} for x in (1, 2) for s in (0, 1)]
    with pytest.raises(ValueError, match="no study 'large': put the folder"):
        open_study("large")


def test_results_that_were_not_made_yet_are_missed(made):
    with pytest.raises(ValueError, match=r"small\.json.*make studies"):
        _ = load(made).results


def test_a_file_without_a_study_is_refused(tmp_path):
    (tmp_path / "none.py").write_text("study = 3\n")
    with pytest.raises(ValueError, match="must be a Study, not 3"):
        load(tmp_path / "none.py")


def test_a_trial_is_a_run_in_any_process(made):
    import functools

    assert trial(str(made), 1, x=2, seed=4) == {"y": 6.5, "curve": [2, 4]}
    call = functools.partial(trial, str(made), 1)
    found = sweep(call, load(made).runs, workers=1, progress=False)
    assert [one.value["y"] for one in found] == [3.0, 3.125, 6.0, 6.125]


def test_a_grid_may_be_a_list():
    study = Study(lambda x: {"y": x}, grid=[{"x": 1}, {"x": 5}], claims=[], cheap={"x": 1})
    assert study.runs == [{"x": 1}, {"x": 5}]
