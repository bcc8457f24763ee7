"""The stored comparison with other libraries is complete, and its tables are made from it."""

import importlib.util
import json
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2] / "benchmarks"
NETWORKS = ("pinnedu", "DeepXDE", "jinns, natural gradient", "jinns, self-scaled Broyden", "PINA")
PROBLEMS = ("heat", "poisson", "burgers", "advection", "wake")


@pytest.fixture(scope="module")
def table():
    spec = importlib.util.spec_from_file_location("field_table", HERE / "first" / "table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_system_ran_on_every_problem_with_every_seed(table):
    wanted = {(system, problem, seed) for system in NETWORKS for problem in PROBLEMS for seed in range(3)}
    wanted |= {("classical solver", problem, 0) for problem in PROBLEMS}
    assert set(table.load()) == wanted


@pytest.mark.parametrize("share", ["0.5", "0.25"])
def test_the_others_ran_with_fewer_points_as_well(table, share):
    wanted = {(system, problem, seed) for system in NETWORKS[1:] for problem in ("advection", "wake") for seed in range(3)}
    assert set(table.load(HERE / "results" / f"share-{share}")) == wanted


def test_the_runs_before_the_recipes_changed_are_whole(table):
    before = table.load(HERE / "results" / "before")
    assert set(before) == {("pinnedu", problem, seed) for problem in PROBLEMS for seed in range(3)}
    now = table.load()
    goals = {problem: goal for problem, (_, goal) in table.PROBLEMS.items()}
    for problem in ("burgers", "advection", "wake"):  # whose recipes changed
        first, last = (
            table.median([table.arrival(run, goals[problem]) for run in table.of(runs, "pinnedu", problem)])
            for runs in (before, now)
        )
        assert first > 2 * last, problem


def test_every_curve_says_why_it_ended_and_runs_forward(table):
    for key, run in table.load().items():
        seconds = [when for when, _ in run["curve"]]
        assert run["stopped"], key
        assert key[0] == "classical solver" or seconds == sorted(seconds), key
        assert all(error >= 0 for _, error in run["curve"]), key


def test_the_markdown_and_the_table_are_made_from_the_runs(table):
    runs = table.load()
    assert (HERE / "results" / "field.md").read_text() == table.markdown(runs)
    stored = json.loads((HERE / "results" / "table.json").read_text())
    made = json.loads(json.dumps(table.summary(runs)).replace("Infinity", "null"))
    assert stored == made


def test_what_counts_as_arrival(table):
    run = {"curve": [[1.0, 0.5], [2.0, 1e-3], [3.0, 5e-4], [4.0, 1e-2]]}
    assert table.arrival(run, 1e-3) == 3.0
    assert table.arrival(run, 1e-4) == float("inf")
    assert table.best(run) == 5e-4


def test_lines_of_code_leave_out_documentation_and_blank_lines(table):
    assert table.lines_of_code("pinnedu", "heat") == 3
