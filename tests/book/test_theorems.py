"""Every statement of the book that is called a theorem, lemma or proposition has a proof, and a test that names it."""

from __future__ import annotations

import json
import re

import chapters
import pytest

BOOK, TESTS = chapters.ROOT / "book", chapters.ROOT / "tests"
STATEMENT = re.compile(r":::\{prf:(?:theorem|lemma|proposition|corollary)\}[^\n]*\n:label: (thm-[a-z-]+)\n.*?\n:::\n", flags=re.S)


def statements():
    """Label of each statement, and what follows it in its cell."""
    for path in sorted(BOOK.glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            text = "".join(cell["source"]) + "\n"
            for found in STATEMENT.finditer(text):
                yield found[1], text[found.end() :]


FOUND = list(statements())
CITED = {
    path: set(re.findall(r"\bthm-[a-z]+-[a-z-]+[a-z]", path.read_text(encoding="utf-8")))
    for folder in (TESTS, chapters.ROOT / "pinnedu")
    for path in sorted(folder.rglob("*.py"))
    if path.name != "test_theorems.py" or path.parent != TESTS / "book"
}


def test_no_statement_is_overlooked():
    text = "".join(path.read_text(encoding="utf-8") for path in BOOK.glob("*.ipynb"))
    assert len(FOUND) == len(re.findall(r":::\{prf:(?:theorem|lemma|proposition|corollary)\}", text)) >= 34
    assert len({label for label, _ in FOUND}) == len(FOUND)


@pytest.mark.parametrize(("label", "after"), FOUND, ids=[label for label, _ in FOUND])
def test_a_statement_has_a_proof_and_a_test(label, after):
    if label != "thm-pl-main":  # proven statement by statement, each under a heading of its own
        assert after.lstrip().startswith(":::{prf:proof}"), "a proof comes right after its statement"
    assert any(label in cited for path, cited in CITED.items() if TESTS in path.parents), "no test names it"


def test_what_code_cites_is_there():
    there = {label for label, _ in FOUND}
    assert {path.name: cited - there for path, cited in CITED.items() if cited - there} == {}
