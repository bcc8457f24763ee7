"""How a number is set in running text: 4.1·10⁻³ where a program prints 4.1e-03, and no line breaks before its unit."""

import re

PRINTED = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]\d{2,3})(?!\w)")
BEFORE_UNIT = re.compile(r"(?<=\d) (?=%|(?:s|ms|MB|GB)\b)")
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power(found: re.Match) -> str:
    """One number. It has no space in it, so that no line breaks there."""
    digits, exponent = found[1], int(found[2])
    if exponent == 0:
        return digits
    ten = f"10{str(exponent).translate(RAISED)}"
    return ten if digits == "1" else f"{digits}·{ten}"


def set_numbers(text: str) -> str:
    """Every number of a text: what a program has printed with an exponent is raised, and a unit stays with its number."""
    return BEFORE_UNIT.sub("\N{NO-BREAK SPACE}", PRINTED.sub(power, text))
