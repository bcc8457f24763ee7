"""The page of the package: every public name once, and its docstring in a form that can be read."""

import html
import importlib
import inspect
import re
from types import ModuleType

import chapters
import pytest
from typography import set_numbers

PAGE = chapters.ROOT / "book" / "api.md"
BUILT = chapters.ROOT / "_build" / "html" / "book" / "api.html"
ENTRY = re.compile(r"^\.\. auto(class|function|data|module):: (\S+)$", re.M)
ENTRIES = [(name, kind) for kind, name in ENTRY.findall(PAGE.read_text(encoding="utf-8"))]
NAMES = [name for name, _ in ENTRIES]
MODULES = (  # what is public besides the names of pinnedu itself
    *("data", "derivatives", "plots", "problems", "recipe", "reference", "theory", "trainers", "widgets"),
    *(f"reference.{name}" for name in ("advection", "allen_cahn", "burgers", "cavity", "l_shape", "laplace_holes", "lorenz")),
    *(f"reference.{name}" for name in ("marching", "periodic", "schroedinger", "screened_poisson", "spectral", "table")),
    *(f"theory.{name}" for name in ("acceleration", "bounds", "conditioning", "equivalence", "errors", "forecast", "fourier")),
    *(f"theory.{name}" for name in ("diagnosis", "kernels", "linearity", "losses", "newton", "operator", "patient", "posedness")),
    *(f"theory.{name}" for name in ("regression", "symptoms", "tangent", "trial")),
)


def resolved(name, kind):
    """What an entry is about: ``pinnedu.problems.heat`` is a function, and the name of the file that holds it, too."""
    if kind == "module":
        return importlib.import_module(name)
    home, _, own = name.rpartition(".")
    return getattr(importlib.import_module(home), own)


def public(module):
    """The public names of a module: those it lists, or else the classes and functions that it defines."""
    own = [name for name, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__]
    listed = getattr(module, "__all__", [n for n in own if not n.startswith("_") and callable(getattr(module, n))])
    return {name: getattr(module, name) for name in listed}


@pytest.mark.parametrize("module", ["", *MODULES])
def test_every_public_name_has_an_entry(module):
    entries = [resolved(*entry) for entry in ENTRIES]
    module = importlib.import_module(f"pinnedu.{module}".rstrip("."))
    names = {name: thing for name, thing in public(module).items() if name != "__version__"}
    assert names
    missing = [name for name, thing in names.items() if not any(thing is entry for entry in entries)]
    assert not missing, f"give {', '.join(missing)} of {module.__name__} an entry in book/api.md, in its group"


def test_no_name_stands_there_twice():
    things = [(name, resolved(name, kind)) for name, kind in ENTRIES]
    twice = [
        (name, other)
        for i, (name, thing) in enumerate(things)
        for other, again in things[:i]
        if thing is again and not isinstance(thing, int | float | str)
    ]
    assert not twice
    assert len(NAMES) == len(set(NAMES)) > 150


def test_a_module_of_theory_or_truth_that_is_new_is_looked_at():
    for package in ("reference", "theory"):
        folder = chapters.ROOT / "pinnedu" / package
        found = {f"{package}.{path.stem}" for path in folder.glob("*.py") if not path.stem.startswith("_")}
        assert found <= set(MODULES)


@pytest.fixture(scope="module")
def built():
    assert BUILT.exists(), "There is no built book to test: run `make build` first."
    text = BUILT.read_text(encoding="utf-8")
    return text[text.index("<article") : text.index("</article>")]


@pytest.mark.parametrize(("name", "kind"), ENTRIES, ids=NAMES)
def test_an_entry_shows_what_help_says(built, name, kind):
    thing = resolved(name, kind)
    anchor = f"module-{name}" if isinstance(thing, ModuleType) else name
    assert f'id="{anchor}"' in built
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        return
    start = built.index(f'id="{name}"')
    shown = " ".join(html.unescape(re.sub(r"<[^>]+>", "", built[start : start + 30_000])).split())
    sentence = re.split(r"``|:\w+:`|`|\||\\", inspect.getdoc(thing).split("\n")[0])[0]
    words = re.sub(r"\W+", " ", set_numbers(sentence))  # the page sets numbers as a book does
    assert words.strip()
    assert words.strip() in re.sub(r"\W+", " ", shown)


def test_docstrings_are_typeset(built):
    assert "problematic" not in built
    for raw in (":math:", ":class:", ":func:", ":meth:", "``"):
        assert raw not in html.unescape(re.sub(r"<[^>]+>", "", built)), raw
    assert "<blockquote" not in built, "an indented block of a docstring is a formula, not a quotation"
    assert built.count('class="math ') > 20
    blocks = [html.unescape(re.sub(r"<[^>]+>", "", block)) for block in re.findall(r"<pre>.*?</pre>", built, flags=re.S)]
    (block,) = [block for block in blocks if "C_heat = (1 - exp(-mu T)) / mu" in block]
    assert "C_wall = sqrt(L / 3)" in block


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("The norm |r| of ``|s|``.\n", "The norm \\|r\\| of ``|s|``.\n"),
        ("With\n\n    C = |r|\n      + 1\n\nand |s|.\n", "With\n\n::\n\n    C = |r|\n      + 1\n\nand \\|s\\|.\n"),
        ("With::\n\n    C = |r|\n", "With::\n\n    C = |r|\n"),
        (".. math::\n\n    |r|\n", ".. math::\n\n    |r|\n"),
        ("One.\n\nParameters\n----------\nx : int\n    Of |x|.\n", "One.\n\nParameters\n----------\nx : int\n    Of \\|x\\|.\n"),
        ("One.\n\nNotes\n-----\nA\n\n    b\n", "One.\n\nNotes\n-----\nA\n\n    b\n"),
    ],
)
def test_bars_and_formulas_stay_what_they_are(monkeypatch, docstring, expected):
    monkeypatch.syspath_prepend(str(chapters.ROOT / "book" / "_ext"))
    assert importlib.import_module("docstrings").plain(docstring) == expected
