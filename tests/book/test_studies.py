"""The studies: stored results belong to the code, claims are true of them, a run made again agrees; and the tools that do it."""

from __future__ import annotations

import argparse
import json
import random
import re

import pytest
import scoreboard
import shake
import studies
import yaml

from pinnedu import Trial
from pinnedu.studies import Claim, Results, Study, key, load

STUDIES = {name: load(studies.FOLDER / f"{name}.py") for name in studies.names()}
CLAIMS = [pytest.param(study, claim, id=f"{name}-{claim.name}") for name, study in STUDIES.items() for claim in study.claims]


@pytest.fixture(params=STUDIES, scope="module")
def name(request):
    return request.param


def skip_unless_run(study):
    if study.hours and not study.claims and not study.path.with_suffix(".json").exists():
        pytest.skip("it takes hours, was not run yet, and nothing is claimed")


def test_results_belong_to_the_code_and_are_whole_before_anything_is_claimed(name):
    study = STUDIES[name]
    skip_unless_run(study)
    assert study.stored["code"] == study.code, "the experiment changed since: run `make studies`"
    stored = [entry["parameters"] for entry in study.stored["results"]]
    assert stored == (study.runs if study.claims else [one for one in study.runs if one in stored]), "run `make studies`"
    assert stored
    assert study.stored["processor"]
    assert study.stored["versions"].keys() >= {"torch", "numpy", "pinnedu"}


@pytest.mark.parametrize(("study", "claim"), CLAIMS)
def test_a_claim_is_true_of_the_stored_results(study, claim):
    assert claim.holds(study.results), claim.sentence


def test_claims_have_names_and_rows(name):
    claims = STUDIES[name].claims
    assert len({claim.name for claim in claims}) == len(claims)
    table = yaml.safe_load(scoreboard.TABLE.read_text(encoding="utf-8"))
    for claim in claims:
        assert re.fullmatch(r"[a-z][a-z0-9-]*", claim.name)
        assert claim.sentence.endswith(".")
        assert not claim.row or name in table[claim.row].get("study", "").split(), f"the scoreboard does not know {claim.name}"


def test_a_cheap_run_agrees_with_the_stored_one_and_with_the_claims(name):
    study = STUDIES[name]
    assert study.agree, "say what must agree"
    skip_unless_run(study)
    stored = {key(parameters): value for parameters, value in study.results.runs}
    if not study.claims and key(study.cheap) not in stored:
        pytest.skip("not run yet, and nothing is claimed")
    again = study.run(**study.cheap)
    assert again.keys() == stored[key(study.cheap)].keys()
    for what, accuracy in study.agree.items():
        assert again[what] == pytest.approx(stored[key(study.cheap)][what], rel=accuracy)
    stored[key(study.cheap)] = again
    results = Results([(parameters, stored[key(parameters)]) for parameters in study.runs if key(parameters) in stored])
    for claim, holds in studies.verdicts(study, results).items():
        assert holds, f"with the run of this machine it does not hold any more: {claim}"


def test_what_the_shake_says_follows_from_its_runs(name):
    study = STUDIES[name]
    if not (shake.SHAKEN / f"{name}.json").exists():
        pytest.skip("not shaken yet")
    held = shake.stored(study)
    assert held["code"] == study.code, "the experiment changed since: run `make shake`"
    assert held["holds"] == shake.shares(study, shake.pool(shake.kept(study)))
    assert all(share >= shake.LEAST for share in held["holds"].values())


# The tools, on a study that takes no time.

SMALL = '''
from pathlib import Path
from pinnedu.studies import Claim, Study


def run(x, seed):
    with open(Path(__file__).with_name("calls.txt"), "a") as calls:
        calls.write(f"{x} {seed}\\n")
    if x == BAD:
        raise ValueError("no such x")
    return {"y": FACTOR * x + seed, "curve": [seed] * 99, "pair": [x, seed]}


FACTOR, BAD = 10, 0
study = Study(
    run,
    grid={"x": [1, 2], "seed": range(2)},
    claims=[
        Claim("rises", "It rises.", lambda r: r.where(x=2)["y"].min() > r.where(x=1)["y"].max(), row="R9"),
        Claim("lucky", "A seed is even.", lambda r: (r.where(x=1)["y"] % 2 == 0).any()),
    ],
    cheap={"x": 1, "seed": 0},
    agree={"y": 1e-9},
)
'''


@pytest.fixture
def small(request, tmp_path, monkeypatch):
    """A folder with one study, in which the tools work."""
    for tool in (studies, shake):
        monkeypatch.setattr(tool, "FOLDER", tmp_path)
        monkeypatch.setattr(tool, "RUNS", tmp_path / ".runs")
    monkeypatch.setattr(shake, "SHAKEN", tmp_path / "shaken")
    monkeypatch.setenv("WORKERS", "1")
    monkeypatch.setenv("PINNEDU_PROGRESS", "0")
    if "real_sweep" not in request.fixturenames:  # starting processes takes seconds
        monkeypatch.setattr(studies, "sweep", in_this_process)
    (tmp_path / "small.py").write_text(SMALL, encoding="utf-8")
    return tmp_path / "small.py"


@pytest.fixture
def real_sweep():
    """Asks for processes of their own."""


def in_this_process(function, runs, **options):
    """What `sweep` does, without its processes and its folder."""
    trials = []
    for parameters in runs:
        try:
            trials.append(Trial(parameters, json.loads(json.dumps(function(**parameters)))))
        except ValueError as error:
            trials.append(Trial(parameters, error=f"ValueError: {error}"))
    return trials


def calls(small):
    """How many runs were made since this was asked last."""
    file = small.with_name("calls.txt")
    count = len(file.read_text().splitlines()) if file.exists() else 0
    file.unlink(missing_ok=True)
    return count


def test_results_are_stored_and_not_made_again(real_sweep, small, capsys):
    assert studies.main([]) == 0
    assert calls(small) == 4
    assert "4 runs, of which 0 are there" in capsys.readouterr().out
    first = small.with_suffix(".json").read_bytes()
    assert studies.main(["small"]) == 0
    assert calls(small) == 0
    assert small.with_suffix(".json").read_bytes() == first
    assert "holds: It rises." in capsys.readouterr().out
    assert list(load(small).results["y"]) == [10, 11, 20, 21]
    assert load(small).stored["processor"] == studies.processor() != ""


def test_more_seeds_run_what_is_missing(small):
    studies.main([])
    calls(small)
    small.write_text(SMALL.replace("range(2)", "range(3)"))
    assert studies.main([]) == 0
    assert calls(small) == 2
    assert list(load(small).results["y"]) == [10, 11, 12, 20, 21, 22]


def test_other_code_is_told_and_all_runs_are_made_anew(small, capsys):
    studies.main([])
    calls(small)
    small.write_text(SMALL.replace("FACTOR, BAD = 10", "FACTOR, BAD = 100"))
    assert studies.main([]) == 0
    assert "the code of the experiment changed" in capsys.readouterr().out
    assert calls(small) == 4
    assert list(load(small).results["y"]) == [100, 101, 200, 201]


def test_a_claim_that_fails_and_a_run_that_fails_are_told(small, capsys):
    small.write_text(SMALL.replace("> r.where", "< r.where"))
    assert studies.main([]) == 1
    assert "DOES NOT HOLD: It rises." in capsys.readouterr().out
    small.write_text(SMALL.replace("BAD = 10, 0", "BAD = 10, 2"))
    calls(small)
    assert studies.main([]) == 1
    assert "failed: {'x': 2, 'seed': 0}: ValueError: no such x" in capsys.readouterr().out
    assert len(load(small).results) == 2, "what went well is kept"


def test_an_unknown_study_is_named(small):
    with pytest.raises(ValueError, match="No study is called smal; there are: small"):
        studies.names(["smal"])


@pytest.mark.parametrize("given", ["0", "two", "-1"])
def test_a_number_of_workers_that_is_none(small, monkeypatch, given):
    monkeypatch.setenv("WORKERS", given)
    with pytest.raises(ValueError, match="WORKERS must be a whole number of at least 1"):
        studies.main([])


@pytest.mark.parametrize(("text", "seeds"), [("10..14", [10, 11, 12, 13, 14]), ("3,5", [3, 5]), ("7", [7])])
def test_seeds_as_they_are_written(text, seeds):
    assert shake.numbers(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "4..", "5..3", "-1"])
def test_seeds_that_are_none(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"write 10\.\.14"):
        shake.numbers(text)


def test_shaking_runs_every_rounding_once_and_keeps_what_it_ran(small, capsys):
    studies.main([])
    calls(small)
    for rounding in shake.ROUNDINGS:
        assert shake.main(["small", "--rounding", rounding]) == 0
    assert calls(small) == 4 * (len(shake.ROUNDINGS) - 1), "the study's own runs are the plain ones"
    for rounding in shake.ROUNDINGS:
        shake.main(["small", "--rounding", rounding, "--seeds", "0..4"])
    assert calls(small) == 6 * len(shake.ROUNDINGS)
    held = shake.stored(load(small))
    assert len(held["results"]) == 10 * len(shake.ROUNDINGS) - 4
    assert all({"y", "pair"} == set(entry["value"]) for entry in held["results"]), "a curve is not kept, a short list is"
    assert held["holds"]["rises"] == 1.0
    # Two seeds of five, with replacement: both are odd in 4 of 25 draws.
    assert held["holds"]["lucky"] == pytest.approx(1 - (2 / 5) ** 2, abs=0.05)
    capsys.readouterr()
    assert shake.report(load(small), None) is False
    said = capsys.readouterr().out
    assert "holds in 100.0%: It rises." in said
    assert re.search(r"holds in +\d\d\.\d%, BELOW 95 %: A seed is even", said)
    assert shake.report(load(small), [0, 2]) is True, "of these seeds alone"


def test_shaken_runs_of_other_code_do_not_count(small):
    studies.main([])
    shake.main(["small", "--rounding", "portable"])
    small.write_text(SMALL.replace("FACTOR, BAD = 10", "FACTOR, BAD = 100"))
    assert not any(shake.kept(load(small)).values())


def test_each_rounding_has_an_environment_of_its_own(monkeypatch):
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    assert "MKL_CBWR" not in shake.environment(shake.PLAIN)
    assert shake.environment("portable")["ATEN_CPU_CAPABILITY"] == "default"
    assert shake.environment("two threads")["OMP_NUM_THREADS"] == "2"
    assert len({json.dumps(shake.environment(rounding), sort_keys=True) for rounding in shake.ROUNDINGS}) == 3


def paired(x, seed):
    return {"y": x + seed}


def test_seeds_are_drawn_together_and_roundings_apart():
    """Arms that differ by the seed in the same way differ so in every draw; a rounding that matters shows in its share."""
    study = Study(
        paired,
        grid={"x": [0, 1], "seed": range(4)},
        claims=[Claim("above", "Above.", lambda r: (r.where(x=1)["y"] > r.where(x=0)["y"]).all())],
        cheap={"x": 0, "seed": 0},
    )
    there = {"plain": {key(p): {"parameters": p, "value": paired(**p)} for p in study.runs}}
    assert shake.shares(study, shake.pool(there)) == {"above": 1.0}
    drawn = shake.draw(study, shake.pool(there), random.Random(3))
    assert [parameters for parameters, _ in drawn.runs] == study.runs
    there["other"] = {
        key(p): {"parameters": p, "value": {"y": p["seed"] - p["x"]}} for p in study.runs
    }  # here x lowers y
    assert shake.shares(study, shake.pool(there))["above"] == pytest.approx(1 / 16, abs=0.03)
    with pytest.raises(ValueError, match="cannot be shaken: no run has"):
        shake.shares(study, shake.pool(there, seeds=[9]))


def test_a_chapter_that_prints_something_else_is_listed(tmp_path, monkeypatch, capsys):
    import nbformat

    cells = [nbformat.v4.new_code_cell("import os\nprint(os.environ.get('MKL_CBWR'))")]
    cells[0].outputs = [nbformat.v4.new_output("stream", text="None\n")]
    cells[0].execution_count = 1
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(notebook, tmp_path / "page.ipynb")
    monkeypatch.setattr(shake, "notebooks", lambda: [tmp_path / "page.ipynb"])
    monkeypatch.chdir(scoreboard.ROOT)
    assert shake.main(["chapters", "page"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["plain", "page", "the", "same"]
    assert "DIFFERS: Cell 0" in lines[1]
    with pytest.raises(ValueError, match="No chapter is called pag"):
        shake.chapters(["pag"])


# The scoreboard reads them.


def entry(**more):
    return {"claim": "It rises", "chapter": "failures", "measured": "it rose by 10", **more}


@pytest.mark.parametrize(("shaken", "shown"), [(None, "**yes** |"), (0.987, "**yes**, in 99% |")])
def test_a_row_takes_the_claims_of_its_study(small, monkeypatch, shaken, shown):
    studies.main([])
    monkeypatch.setattr(scoreboard, "STUDIES", small.parent)
    if shaken:
        (small.parent / "shaken").mkdir()
        held = {"code": load(small).code, "holds": {"rises": shaken, "lucky": 0.1}}
        (small.parent / "shaken" / "small.json").write_text(json.dumps(held))
    there = {"failures": scoreboard.ROOT / "book" / "failures.ipynb"}
    row = scoreboard.row("R9", entry(study="small"), there)
    assert (row.holds, row.shaken) == (True, shaken)
    assert shown in scoreboard.markdown([row])
    assert scoreboard.row("R9", entry(study="small", holds=["fa-learned <= -1"]), there).holds is False
    with pytest.raises(ValueError, match="R10: no claim of the study small serves this row"):
        scoreboard.row("R10", entry(study="small"), there)
    with pytest.raises(ValueError, match="R9: there is no study called smal"):
        scoreboard.row("R9", entry(study="smal"), there)
    small.write_text(SMALL.replace("> r.where", "< r.where"))
    assert scoreboard.row("R9", entry(study="small"), there).holds is False
    small.write_text(SMALL.replace("FACTOR, BAD = 10", "FACTOR, BAD = 100"))
    assert scoreboard.row("R9", entry(study="small"), there).shaken is None, "other code was shaken"
