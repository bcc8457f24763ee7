"""How a number is set in running text: 4.1·10⁻³ where a program prints 4.1e-03."""

import re

PRINTED = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]\d{2,3})(?!\w)")
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power(found: re.Match) -> str:
    """One number. It has no space in it, so that no line breaks there."""
    digits, exponent = found[1], int(found[2])
    if exponent == 0:
        return digits
    ten = f"10{str(exponent).translate(RAISED)}"
    return ten if digits == "1" else f"{digits}·{ten}"


def set_numbers(text: str) -> str:
    """Every number of a text that a program has printed with an exponent."""
    return PRINTED.sub(power, text)
