"""The machinery of the comparison: its judge, its clock, its settings, its runner and its tables. It trains nothing."""

from __future__ import annotations

import importlib
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pinnedu import MLP

HERE = Path(__file__).parents[2] / "benchmarks"
OWN = ("problems", "clock", "settings", "systems", "run", "table")


@pytest.fixture(scope="module")
def bench():
    """The files of the folder, by name; their names are free again afterwards."""
    before = {name: sys.modules.pop(name, None) for name in OWN}
    sys.path.insert(0, str(HERE))
    yield {name: importlib.import_module(name) for name in OWN}
    sys.path.remove(str(HERE))
    for name in OWN:
        sys.modules.pop(name, None)
        if before[name] is not None:
            sys.modules[name] = before[name]


def rules_table(heading: str) -> list[list[str]]:
    """The rows of a table of RULES.md."""
    section = (HERE / "RULES.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")
    ]
    return rows[2:]


# --- problems


def test_goals_and_systems_are_those_of_the_rules(bench):
    goals = [float(row[2]) for row in rules_table("Problems and goals")]
    assert [case.goal for case in bench["problems"].CASES.values()] == goals
    names = [row[0].replace("`", "") for row in rules_table("Systems")]
    assert list(bench["systems"].ENTRIES) == names


def test_ranges_are_those_of_the_rules(bench):
    said = " ".join(cell for row in rules_table("Tuning") for cell in row)
    for widths in bench["settings"].RANGES["hidden"]:
        assert str(widths) in said
    for name in ("points", "weight", "memory"):
        assert ", ".join(f"{value:g}" for value in bench["settings"].RANGES[name]) in said
    assert "1e-3, 1e-5, 1e-7, 1e-9" in said
    assert bench["settings"].RANGES["damping"] == (1e-3, 1e-5, 1e-7, 1e-9)
    assert "5 %, 15 %, 25 %, 50 %" in said
    assert bench["settings"].RANGES["share"] == (0.05, 0.15, 0.25, 0.5)


@pytest.mark.parametrize(
    "name", ["heat", "poisson", "advection", "wake", "wave", "kovasznay", "laplace_holes", "poisson_5", "tune_heat"]
)
def test_the_box_of_a_case_is_that_of_its_problem_and_its_truth_has_error_zero(bench, name):
    problems = bench["problems"]
    case, problem, points = problems.ALL[name], problems.problem_of(name), problems.grid_of(name)
    assert case.low == tuple(problem.domain.low.tolist())
    assert case.high == tuple(problem.domain.high.tolist())
    assert case.fields == len(problem.fields)
    assert problem.exact is None
    judge = problems.Judge(case, points, problems.truth_of(name, points))
    assert judge.truth.shape == (len(points), case.fields)
    assert judge.error(judge.truth) == 0
    assert judge.error(np.zeros_like(judge.truth)) == pytest.approx(1, abs=1e-12)
    assert judge.error(np.full_like(judge.truth, np.nan)) == math.inf


def test_a_pressure_is_judged_up_to_a_constant_and_that_of_the_wake_not_at_all(bench):
    problems = bench["problems"]
    for name, shift in (("kovasznay", np.array([0, 0, 7.0])), ("wake", np.array([0, 0, 7.0]))):
        points = problems.grid_of(name)
        judge = problems.Judge(problems.ALL[name], points, problems.truth_of(name, points))
        assert judge.error(judge.truth + shift) == pytest.approx(0, abs=1e-14)
        assert judge.error(judge.truth + shift[::-1]) > 1


def test_tuning_problems_differ_from_those_that_are_scored(bench):
    problems = bench["problems"]
    for name in problems.TUNING:
        assert problems.parameter(name) != problems.parameter(problems.family(name))
    assert [problems.parameter(name) for name in problems.TUNING] == [0.3, 0.02, 10, 4]


def test_layers_give_what_the_network_gives_and_the_loss_that_it_has(bench):
    problems = bench["problems"]
    problem = problems.problem_of("tune_heat")
    model = MLP(problem, hidden=(7, 5), seed=3)
    layers = [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in model.layers]
    points = problems.grid_of("tune_heat")
    found = problems.forward(layers, problems.scaled(points, problems.ALL["tune_heat"]))
    np.testing.assert_allclose(found, model(torch.as_tensor(points)).detach().numpy(), atol=1e-14)
    zero = [(0 * weights, 0 * biases) for weights, biases in layers]
    # Only the initial value is missed: the mean square of a sine, up to the chance of the points.
    assert problems.fresh_loss("tune_heat", zero) == pytest.approx(0.5, abs=0.02)
    assert problems.fresh_loss("tune_heat", [(math.nan * weights, biases) for weights, biases in layers]) == math.inf


def test_what_prepare_leaves_is_what_a_run_reads(bench, tmp_path, monkeypatch):
    problems = bench["problems"]
    monkeypatch.setattr(problems, "ALL", {"heat": problems.ALL["heat"]})
    problems.prepare(tmp_path)
    judge = problems.judge_of("heat", tmp_path)
    x, t = judge.points.T
    np.testing.assert_allclose(judge.truth[:, 0], np.exp(-t) * np.sin(x), atol=1e-15)


# --- clock


class Time:
    """A clock that stands until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watched(bench):
    time = Time()
    judge = bench["problems"].Judge(bench["problems"].ALL["heat"], np.zeros((1, 2)), np.ones((1, 1)))
    return bench["clock"].Watch(judge, 10.0, 0.0, wall=time, processor=time), time


def test_seconds_count_from_the_end_of_the_first_step_and_looking_is_free(watched):
    watch, time = watched
    watch.declare()
    time.now = 5.0

    def look():
        time.now += 100.0
        return 0.5

    assert not watch.stepped(look)  # the end of the first step: the clock starts
    assert watch.seconds() == 0
    assert watch.clocks()["to_first_from_declaration"] == 5.0
    time.now += 0.04
    watch.stepped(look)
    assert watch.curve == []  # not due
    time.now += 0.02
    watch.stepped(look)
    assert watch.curve == [(pytest.approx(0.06), 0.5)]
    assert watch.seconds() == pytest.approx(0.06)
    assert watch.busy() == (pytest.approx(0.06), pytest.approx(0.06))


def test_looks_come_after_six_percent_more_and_the_last_one_when_the_time_is_up(watched):
    watch, time = watched
    watch.stepped(lambda: 0.0)
    ended = False
    while not ended:
        time.now += 0.01
        ended = watch.stepped(lambda: 0.25)
    times = [when for when, _ in watch.curve]
    assert times[0] == pytest.approx(0.05, abs=0.011)
    assert times[-1] == pytest.approx(10, abs=0.011)
    assert all(
        later >= min(max(1.06 * when, when + 0.05), 10) - 1e-9 for when, later in zip(times, times[1:], strict=False)
    )
    assert all(later <= max(1.06 * when, when + 0.05) + 0.011 for when, later in zip(times, times[1:], strict=False))


def test_a_step_that_ends_long_after_the_time_does_not_count(watched):
    watch, time = watched
    watch.stepped(lambda: 0.0)
    time.now += 5
    watch.stepped(lambda: 0.5)
    time.now += 20
    assert watch.stepped(lambda: 1e-9)
    assert [error for _, error in watch.curve] == [0.5]


def test_an_error_that_stands_is_written_at_all_times_of_looking(watched):
    watch, time = watched
    watch.stepped(lambda: 0.0)
    time.now += 1.0
    watch.hold(1.0, 0.125)
    times = [when for when, _ in watch.curve]
    assert times[0] == 0.05
    assert 0.94 < times[-1] < 1.0
    assert {error for _, error in watch.curve} == {0.125}


# --- settings


def test_all_systems_get_the_same_draws_of_what_they_have(bench):
    settings, documented = bench["settings"], bench["settings"].Settings((20, 20), 2540, 160)
    some, all_of_them = (settings.settings_of(documented, uses) for uses in (("points",), tuple(settings.RANGES)))
    assert some[0] == all_of_them[0] == documented
    assert [one.points for one in some[1:]] == [one.points for one in all_of_them[1:]]
    assert {one.hidden for one in some} == {(20, 20)}
    assert all(one.on_conditions == one.points // 10 for one in all_of_them[1:])
    assert settings.settings_of(documented, tuple(settings.RANGES)) == all_of_them
    assert len(set(all_of_them)) == settings.DRAWN == 14
    for one in all_of_them[1:]:
        assert all(getattr(one, name) in values for name, values in settings.RANGES.items())
    assert all(settings.Settings.read(json.loads(json.dumps(settings.kept(one)))) == one for one in all_of_them)


# --- runner


def test_runs_are_those_of_the_rules(bench):
    run = bench["run"]
    jobs = run.jobs_of_runs(list(run.ENTRIES), list(run.CASES), run.SEEDS)
    assert len(set(jobs)) == len(jobs) == 10 * 10 * 5 + 2 * 5 + 10  # RAR on two problems, classical solvers once
    assert len({job.file for job in jobs}) == len(jobs)
    tuning = run.jobs_of_tuning(list(run.ENTRIES), list(run.TUNING), range(run.DRAWN))
    assert len(tuning) == 10 * 4 * 14
    assert "pinnedu.solve" not in {job.system for job in tuning}


def test_the_setting_is_chosen_by_the_loss_on_fresh_points_and_a_failure_is_never_chosen(bench, tmp_path):
    run = bench["run"]
    losses = {0: (1e-2, 1e-2), 1: (1e-6, 1e-3), 2: (None, 1e-20)}
    for k, pair in losses.items():
        for problem, loss in zip(("tune_heat", "tune_poisson"), pair, strict=True):
            run.write(tmp_path / run.Job("DeepXDE, RAR", problem, 0, k).file, {"loss": loss, "curve": [[1, 10.0**-k]]})
    best, scores = run.choose(tmp_path, "DeepXDE, RAR", ["tune_heat", "tune_poisson"], [0, 1, 2, 3])
    assert best == 1
    assert scores[:2] == [pytest.approx(-4), pytest.approx(-9)]
    assert scores[2:] == [math.inf, math.inf]  # one failed, one is not there


def test_a_tuning_problem_that_a_system_cannot_state_does_not_count_for_it(bench, tmp_path):
    run, system = bench["run"], "PINA, Adam and L-BFGS"
    for k, loss in enumerate((1e-2, 1e-4)):
        run.write(tmp_path / run.Job(system, "tune_heat", 0, k).file, {"loss": loss, "curve": [[1, 1]]})
        run.write(tmp_path / run.Job(system, "tune_advection", 0, k).file, {"not_possible": "a sentence"})
    assert run.choose(tmp_path, system, ["tune_heat", "tune_advection"], [0, 1]) == (1, [pytest.approx(-2), pytest.approx(-4)])


def test_what_is_scored_fits_in_five_hours_on_two_cores(bench):
    run = bench["run"]
    assert run.SECONDS == 30
    assert run.cost(list(run.ENTRIES))["runs"] < 5


def test_a_run_that_waited_for_the_processor_is_disturbed(bench):
    disturbed = bench["run"].disturbed
    assert not disturbed({"wall_seconds": 60.0, "processor_seconds": 58.0})
    assert disturbed({"wall_seconds": 60.0, "processor_seconds": 50.0})
    assert disturbed({"wall_seconds": 60.0, "processor_seconds": 70.0})
    assert not disturbed({"wall_seconds": 0.1, "processor_seconds": 0.05})  # solved before anything can be said
    assert not disturbed({"not_possible": "a sentence"})


def stored_tuning(run, folder, system, settings):
    """Results of a tuning, each setting with a smaller loss than the one before."""
    for job in run.jobs_of_tuning([system], list(run.TUNING), settings):
        made = {"loss": 10.0**-job.setting, "curve": [[1, 1]], "failed": ""}
        given = run.settings_of(run.ENTRIES[system].documented, run.ENTRIES[system].uses)[job.setting]
        run.write(folder / job.file, made | {"settings": run.kept(given), "seconds": run.SECONDS})


def test_a_choice_is_made_when_all_runs_are_there_and_is_frozen_then(bench, tmp_path):
    run, system = bench["run"], "DeepXDE, Adam and L-BFGS"
    options = run.arguments(["--results", str(tmp_path), "--systems", system, "--cores", "0"])
    stored_tuning(run, tmp_path, system, range(run.DRAWN - 1))
    with pytest.raises(SystemExit, match="4 of 56 runs"):
        run.tuned(options)
    assert not (tmp_path / "tuning.json").exists()
    stored_tuning(run, tmp_path, system, range(run.DRAWN))
    choice = run.tuned(options)[system]
    assert choice == run.settings_of(run.ENTRIES[system].documented, run.ENTRIES[system].uses)[run.DRAWN - 1]
    for file in (tmp_path / "tuning").rglob("*.json"):  # a clone has none of them
        file.unlink()
    before = (tmp_path / "tuning.json").read_text()
    few = ["--only", "runs", "--settings", "0", "--tuning", "tune_heat"]
    for more in ([], few):
        asked = run.arguments(["--results", str(tmp_path), "--systems", system, "--cores", "0", *more])
        assert run.tuned(asked) == {system: choice}
        assert (tmp_path / "tuning.json").read_text() == before
    with pytest.raises(SystemExit, match="56 of 56 runs"):
        run.tuned(run.arguments(["--results", str(tmp_path), "--systems", "DeepXDE, RAR", "--only", "runs"]))


def test_a_result_of_other_settings_or_seconds_is_not_there(bench, tmp_path):
    run, system = bench["run"], "jinns, natural gradient"
    one, other = run.settings_of(run.ENTRIES[system].documented, run.ENTRIES[system].uses)[:2]
    job = run.Job(system, "heat", 0)
    assert not run.there(tmp_path, job, one, 30.0)
    run.write(tmp_path / job.file, {"settings": run.kept(one), "seconds": 30.0, "curve": []})
    assert run.there(tmp_path, job, one, 30.0)
    assert not run.there(tmp_path, job, other, 30.0)
    assert not run.there(tmp_path, job, one, 10.0)
    run.write(tmp_path / job.file, {"settings": run.kept(one), "seconds": 30.0, "not_possible": "a sentence of before"})
    assert not run.there(tmp_path, job, one, 30.0)


def test_the_single_files_come_back_from_the_one_that_is_stored(bench, tmp_path):
    run = bench["run"]
    job = run.Job("pinnedu.solve", "heat", 3)
    record = {"system": job.system, "problem": job.problem, "seed": job.seed, "curve": [[1.0, 0.5]]}
    run.write(tmp_path / job.file, record)
    run.gather(tmp_path)
    (tmp_path / job.file).unlink()
    run.unpack(tmp_path)
    assert run.read(tmp_path / job.file) == record
    assert run.read(tmp_path / "comparison.json")["machine"]["versions"]["torch"]


def test_a_run_that_is_stopped_is_not_stored_and_what_a_library_prints_is_not_read(bench, tmp_path, monkeypatch):
    run = bench["run"]
    options = run.arguments(["--results", str(tmp_path), "--cores", "0"])
    ends = [(-2, ""), (0, 'loading\n{"curve": [], "failed": "x"}\nvalidation loss value = 0\n')]

    def ended(command, **more):
        code, said = ends.pop(0)
        return run.subprocess.CompletedProcess(command, code, said, "")

    monkeypatch.setattr(run.subprocess, "run", ended)
    job = run.Job("pinnedu.solve", "heat", 0)
    run.carry_out([job], {}, options)
    assert not (tmp_path / job.file).exists()
    run.carry_out([job], {}, options)
    assert run.read(tmp_path / job.file)["failed"] == "x"


def test_what_is_there_is_not_run_again_and_what_was_disturbed_is_made_again(bench, tmp_path, monkeypatch, capsys):
    run, calls = bench["run"], []

    def start(job, settings, options, core):
        calls.append((job, settings))
        busy = 60.0 if len(calls) > 1 else 30.0  # the first is disturbed
        return {"failed": "", "curve": [[1.0, 0.5]], "steps": 3, "wall_seconds": 60.0, "processor_seconds": busy}

    monkeypatch.setattr(run, "start", start)
    options = run.arguments(["--results", str(tmp_path), "--cores", "0"])
    jobs = [run.Job("pinnedu.solve", "heat", seed) for seed in (0, 1)]
    run.carry_out(jobs, {}, options)
    assert [job for job, _ in calls] == [jobs[0], jobs[0], jobs[1]]
    assert json.loads((tmp_path / jobs[0].file).read_text())["attempt"] == 2
    run.carry_out(jobs, {}, options)
    assert len(calls) == 3
    assert "2 of 2 runs are there" in capsys.readouterr().out


def test_what_a_system_cannot_state_is_said_without_a_run(bench, tmp_path):
    run = bench["run"]
    options = run.arguments(["--results", str(tmp_path), "--cores", "0"])
    run.carry_out([run.Job("jinns, natural gradient", "laplace_holes", 0)], {}, options)
    record = json.loads((tmp_path / "runs/jinns-natural_gradient/laplace_holes-0.json").read_text())
    assert "none with holes" in record["not_possible"]


def test_a_classical_solver_runs_in_a_process_of_its_own(bench, tmp_path):
    run = bench["run"]
    options = run.arguments(["--results", str(tmp_path), "--quick", "--cores", str(options_core())])
    bench["problems"].prepare_one("poisson", options.results / "truth")
    run.carry_out([run.Job("classical", "poisson", 0)], {}, options)
    record = json.loads((tmp_path / "quick/runs/classical/poisson-0.json").read_text())
    assert record["failed"] == ""
    assert record["curve"][-1][1] < 1e-10
    run.gather(options.results)
    assert json.loads((tmp_path / "quick/comparison.json").read_text())["runs"][0]["problem"] == "poisson"


def options_core() -> int:
    """A core that this process may use."""
    import os

    return min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


# --- tables


def result(system, problem, seed, curve, **more):
    return {"system": system, "problem": problem, "seed": seed, "curve": curve, "failed": "", "to_first_from_start": 5.0,
            "to_first_from_declaration": 2.0, "memory_mb": 100} | more  # fmt: skip


def test_three_clocks_failures_and_the_bold_smallest_median(bench, tmp_path):
    table = bench["table"]
    good = [[1.0, 1e-2], [3.0, 1e-5], [60.0, 1e-6]]
    runs = [result("pinnedu.solve", "heat", seed, good) for seed in range(5)]
    runs += [result("jinns, natural gradient", "heat", seed, [[4.0, 1e-5], [60.0, 1e-7]]) for seed in range(5)]
    runs += [result("DeepXDE, Adam and L-BFGS", "heat", 0, [[4.0, 1e-5], [60.0, 1.5]])]
    runs += [{"system": "jinns, natural gradient", "problem": "laplace_holes", "seed": 0, "not_possible": "no holes"}]
    (tmp_path / "comparison.json").write_text(json.dumps({"runs": runs}))
    loaded = table.load(tmp_path)
    own = loaded["pinnedu.solve", "heat"][0]
    assert [table.arrival(own, 1e-4, clock) for clock in ("first", "declaration", "start")] == [3.0, 5.0, 8.0]
    assert table.failed(loaded["DeepXDE, Adam and L-BFGS", "heat"][0])
    made = table.summary(loaded)
    assert made["heat"]["DeepXDE, Adam and L-BFGS"]["failures"] == 1
    assert table.winners(made, "seconds_from_first")["heat"] == ("pinnedu.solve", [])
    assert table.winners(made, "best")["heat"] == ("jinns, natural gradient", [])
    assert table.check_aim(made) == {"seconds_from_first": 1, "best": 0}
    text = table.markdown(made)
    assert "| pinnedu.solve | **3.0 s** | 5.0 s | 8.0 s | 1.0e-06 |" in text
    assert "not possible: no holes" in text


def test_milliseconds_have_no_exponent(bench):
    assert [bench["table"].seconds(value) for value in (0.0003, 0.05, 0.0996, 0.1, 12.3, math.inf)] == [
        "0.3 ms", "50 ms", "100 ms", "0.1 s", "12 s", "—",
    ]  # fmt: skip


def test_ranges_that_overlap_are_about_the_same(bench):
    table = bench["table"]
    assert table.apart([1, 2], [3, 4])
    assert table.apart([3, 4], [1, 2])
    assert not table.apart([1, 3], [2, 4])
    assert not table.apart([1, math.inf], [2, 4])


def test_the_median_of_failures_is_the_worst(bench):
    assert bench["table"].median([1.0, math.inf, math.inf, 2.0, math.inf]) == math.inf
    assert bench["table"].median([1.0, math.inf, 2.0, 3.0, math.inf]) == 3.0


@pytest.mark.parametrize("problem", ["heat", "wake", "laplace_holes"])
def test_lines_are_counted_for_every_system_that_states_the_problem(bench, problem):
    table = bench["table"]
    for system, entry in table.ENTRIES.items():
        if problem not in entry.impossible and system != "classical":
            assert 5 < table.lines_of_code(system, problem) < 80, system
