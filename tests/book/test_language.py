"""The language of the book: terms, plain words, order. What can be counted is counted; the rest needs a reader."""

import ast
import json
import re
import tomllib
from pathlib import Path

import chapter_map
import chapters
import pytest

ROOT = chapters.ROOT
CHAPTERS = chapter_map.chapters()
PAGES = {path.stem: chapter_map.prose(path) for path in chapters.pages() if path.stem != "api"}
FRONT = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "book/README.md")
}
GLOSSARY = re.findall(r"^(\S[^\n]*)\n  ", PAGES["glossary"].split(":::{glossary}\n")[1], flags=re.M)

# Words that are not English so, or that a reader must translate first.
IDIOM = re.compile(
    r"belongs? into|\bmended\b|\bis content\b|drawn apart from|round pile|end of memory|free lunch|hair's breadth|"
    r"\bcries? wolf\b|home ground|old friends|(?<!to )\bfor free\b|next to nothing|goes wild|throw of the dice|"
    r"\bbuys?\b|\bshy\b|\bbargain\b|of its own accord|\bto speak of\b|\bsay aloud\b|in mid-run|"
    r"\bcheats?\b|chang\w* (?:its|their) mind|with an eye on|\bcousins?\b|\bdear(?:er)?\b|\bat hand\b|by heart|behind the scenes|"
    r"the competition|without contest|hyperbolic kin|\btold of\b|\btells? (?:of|where|when|what|how|an?)\b",
    flags=re.I,
)


def plain(text: str) -> str:
    """Prose without code, formulas, directives, tables and roles."""
    text = re.sub(r"^(`{3,}).*?^\1", "", text, flags=re.M | re.S)
    text = re.sub(r"\$\$.*?\$\$(?: \([\w-]+\))?", "", text, flags=re.S)
    text = re.sub(r"\{[\w:]+\}`([^`<]*)(?:<[^`]*)?`", lambda role: "_".join(role[1].split()), text)
    text = re.sub(r"^:::.*$|^:[\w-]+:.*$", "\n", text, flags=re.M)
    return re.sub(r"\$[^$]*\$|`[^`]*`", "X", text)


def sentences(text: str) -> list[str]:
    found: list[str] = []
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) |#|\|)", plain(text)):
        if not paragraph.lstrip().startswith("|"):
            found += re.split(r"(?<=[.?!])[\"*)]*\s+(?=\W*[A-Z_\d])", " ".join(paragraph.split()))
    return found


@pytest.mark.parametrize("name", [*PAGES, *FRONT])
def test_no_idiom(name):
    found = [" ".join(match.group().split()) for match in IDIOM.finditer((PAGES | FRONT)[name])]
    assert not found, f"say it in plain words: {found}"


def test_no_idiom_in_the_package():
    for path in (ROOT / "pinnedu").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not IDIOM.search(node.value), f"{path.name}, line {node.lineno}: {IDIOM.search(node.value).group()}"


@pytest.mark.parametrize("name", CHAPTERS)
def test_no_sentence_is_endless(name):
    """Thirty words are the aim. Lists and sentences with many numbers may be longer, none has fifty."""
    for sentence in sentences(PAGES[name]):
        assert len(re.findall(r"[\w'-]+", sentence)) < 50, sentence


# Terms.


def test_the_glossary_is_sorted_and_says_each_term_once():
    assert [term.lower() for term in GLOSSARY] == sorted({term.lower() for term in GLOSSARY})
    assert len(GLOSSARY) > 50


def defined(text: str) -> list[str]:
    """What stands in bold inside a sentence, of three words at most: a term. Emphasis is italic."""
    found = []
    for match in re.finditer(r"(?<!\*)\*\*([^*\n|]+)\*\*(?!\*)", text):
        before = re.split(r"\n\s*\n", text[: match.start()])[-1].rsplit("\n|", 1)[-1]
        listed = re.search(r"(?:^|\n)\s*(?:[-*]|\d+\.|\||:::.*\n.*)\s*$", before) or "|" in before.rsplit("\n", 1)[-1]
        begins = not before.strip() or listed
        if not begins and len(match[1].split()) <= 3 and match[1][-1] not in ".?!:":
            found.append(match[1])
    return found


def test_bold_inside_a_sentence_is_found():
    text = "A **jet** is\na **truncated series**, and **this is a whole sentence.**\n\n**Begins** a paragraph.\n- **Lists** too."
    assert defined(text) == ["jet", "truncated series"]


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_term_in_bold_has_an_entry_in_the_glossary(name):
    known = " / ".join(GLOSSARY).lower()
    text = PAGES[name].split("## Take-aways")[0]
    text = text[text.index("\n:::\n") :]  # after the box "At a glance"
    text = re.sub(r"^:::\{(?:admonition\} Predict|predict\}).*?^:::$", "", text, flags=re.M | re.S)  # may stress a word
    missing = [term for term in defined(text) if term.lower().removesuffix("s") not in known]
    assert not missing, f"give these an entry in glossary.md, or make what is only emphasis italic: {missing}"


# Order.


def test_a_chapter_needs_only_what_stands_before_it():
    order = list(CHAPTERS)
    for name, chapter in CHAPTERS.items():
        later = [need for need in chapter.needs if order.index(need) > order.index(name)]
        assert not later, f"{name} needs {later}, which come after it"


def test_take_aways_point_on():
    pages = [path.stem for path in chapters.pages()]
    for name in CHAPTERS:
        found = re.search(r"^\*\*Next\*\*: (.*?)\n\n## References", PAGES[name], flags=re.M | re.S)
        if found:  # a chapter that has it
            links = [Path(a or b).name for a, b in chapter_map.LINK.findall(found[1])]
            assert links, f"{name}: the pointer has no link"
            assert all(pages.index(link) > pages.index(name) for link in links), f"{name} points back"
    assert sum("**Next**" in PAGES[name] for name in CHAPTERS) >= 28


LECTURES = re.findall(r"^\| (\d) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGES["reading"], flags=re.M)


def words(name: str) -> int:
    return len(plain(PAGES[name].split("## Exercises")[0]).split())


def test_lectures_are_in_order_and_of_even_length():
    listed = [re.findall(r"\{doc\}`(\w+)`", row[2]) for row in LECTURES]
    captions, part = chapter_map.parts()
    order = [name for names in listed for name in names if name in CHAPTERS]
    assert order == [name for name in CHAPTERS if part[name] < 4], "every chapter of the first four parts once, in order"
    assert [caption.split(". ")[0] for caption in captions if ". " in caption] == ["I", "II", "III", "IV", "V"]
    assert order.index("failures") < order.index("gradient_descent")
    sizes = [sum(words(name) for name in names) for names in listed]
    assert max(sizes) < 1.6 * min(sizes), sizes


def test_lectures_name_exercises_of_their_chapters():
    for _, title, names, exercises in LECTURES:
        there = {
            found
            for name in re.findall(r"\{doc\}`(\w+)`", names)
            for found in re.findall(r":::\{exercise-start\} (.+)", PAGES[name])
        }
        assert set(re.findall(r"\*([^*]+)\*", exercises)) <= there, title


# One version, everywhere.


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    said = {
        "CITATION.cff": re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), flags=re.M)[1],
        "pinnedu": re.search(r'^__version__ = "(.*)"$', (ROOT / "pinnedu/__init__.py").read_text("utf-8"), flags=re.M)[1],
        "CHANGELOG.md": re.search(r"^## (.*)$", FRONT["CHANGELOG.md"], flags=re.M)[1],
    }
    assert said == dict.fromkeys(said, project)


# Exercises.


def test_solutions_of_computing_chapters_run():
    """A question for discussion has no code; there are few of them, and they are named here."""
    for_discussion = {
        "exercise-field-fairer",
        "exercise-references-own",
        "exercise-navier-stokes-pressure",
        "exercise-navier-stokes-blank",
    }
    for path in chapters.notebooks():
        solution, runs = "", False
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code":
                runs = True
                continue
            for line in source.splitlines():
                if begun := re.match(r":::\{solution-start\} (\S+)", line):
                    solution, runs = begun[1], False
                elif line == ":::{solution-end}" and solution:
                    assert runs or solution in for_discussion, f"{solution} has no code"
                    solution = ""
