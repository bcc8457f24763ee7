"""How a number is set in running text: 4.1·10⁻³ where a program prints 4.1e-03, and no line breaks before its unit."""

import re
from decimal import Decimal

PRINTED = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]\d{1,3})(?!\w)")
BEFORE_UNIT = re.compile(r"(?<=\d) (?=(?:s|ms|MB|GB)\b)")
BEFORE_PERCENT = re.compile(r"(?<=\d)[ \N{NO-BREAK SPACE}]?%(?!\w)")
ROUNDED_AWAY = re.compile(r"(?<![\w.,-])-?0\.(0+)(?=[ \N{NO-BREAK SPACE}]?%)")
HYPHEN = re.compile(r"(?<![^\s(\[=<>,;:±≈…])-(?=\d)")
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power(found: re.Match) -> str:
    """One number. It has no space in it, so that no line breaks there. What is near one is set without a power of ten."""
    digits, exponent = found[1], int(found[2])
    if abs(exponent) <= 1:
        return f"{Decimal(digits).scaleb(exponent):f}"
    ten = f"10{str(exponent).translate(RAISED)}"
    return ten if digits == "1" else f"{digits}·{ten}"


def set_numbers(text: str) -> str:
    """Every number of a text: exponents raised, minus signs, units that stay with their number, and no 0.0 % by rounding."""
    text = PRINTED.sub(power, text)
    text = ROUNDED_AWAY.sub(lambda found: f"<\N{NO-BREAK SPACE}0.{found[1][1:]}1", text)
    text = BEFORE_PERCENT.sub("\N{NARROW NO-BREAK SPACE}%", HYPHEN.sub("\N{MINUS SIGN}", text))
    return BEFORE_UNIT.sub("\N{NO-BREAK SPACE}", text)
