"""Lists of references whose labels are what the text says: authors and year."""

from collections import Counter

from pybtex.plugin import register_plugin
from pybtex.richtext import Text
from pybtex.style.formatting.plain import Style as PlainStyle
from pybtex.style.labels import BaseLabelStyle


def authors(entry):
    """The names before the year, as the pages cite them."""
    spelled = [" ".join([*person.prelast_names, *person.last_names]) for person in entry.persons["author"]]
    names = [str(Text.from_latex(name)) for name in spelled]
    return names[0] + (" et al." if len(names) > 2 else f" and {names[1]}" if len(names) == 2 else "")


class AuthorYear(BaseLabelStyle):
    """Lagaris et al., 1998; a letter where two works would have the same label."""

    def format_labels(self, sorted_entries):
        labels = [f"{authors(entry)}, {entry.fields['year']}" for entry in sorted_entries]
        count, seen = Counter(labels), Counter()
        for label in labels:
            yield label if count[label] == 1 else f"{label}{chr(ord('a') + seen[label])}"
            seen[label] += 1


class Style(PlainStyle):
    """The usual entries under these labels."""

    default_label_style = "author_year"


def setup(app):
    """Register with pybtex, which the lists are made by."""
    register_plugin("pybtex.style.labels", "author_year", AuthorYear)
    register_plugin("pybtex.style.formatting", "author_year", Style)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
