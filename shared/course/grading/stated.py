"""The numbers of a Markdown text: what each means, how it is rounded, and whether it is a measurement.

Small whole numbers and years are listed as what they are, not as measurements: any file holds a 3.
"""

import re
from dataclasses import dataclass
from itertools import zip_longest

NUMBER = re.compile(
    r"(?<![\w.,/:-])(?P<sign>[+−-]?)(?P<digits>\d{1,3}(?:,\d{3})+|\d+)(?P<rest>\.\d+)?(?P<power>e-?\d+)?"
    r"(?P<percent> ?%)?(?P<million> ?M\b)?(?![\w/]|\.\d|,\d)"
)
HIDDEN = re.compile(
    r"```.*?```|`[^`\n]*`|<!--.*?-->|\]\([^)]*\)|https?://\S+"
    r"|^ {4}[^\n#]*",  # a command, but not the remark behind it, which may state what was measured
    re.DOTALL | re.MULTILINE,
)
SMALL = 100  # whole numbers below it are counts and settings
YEARS = range(1900, 2100)
EXACT = 1e-9  # what a rounded number may be off by, beside its rounding


@dataclass(frozen=True)
class Stated:
    """A number as a README prints it.

    Attributes:
        text: As printed.
        value: What it means: the printed number times its unit.
        decimals: Places behind the point, as printed.
        unit: What one of the printed number is: 1, 0.01 (a percentage) or a million.
        line: Number of its line, from 1.
        context: The whole line.
        heading: Its column's, in a table.
        column: Its column in a table, from 1; 0 outside.
        place: Which number of its cell it is, from 0.
    """

    text: str
    value: float
    decimals: int
    unit: float
    line: int
    context: str
    heading: str = ""
    column: int = 0
    place: int = 0

    @property
    def is_measurement(self) -> bool:
        """Whether it has to have a source: not a count, a setting or a year."""
        whole = self.decimals == 0 and self.unit == 1 and "e" not in self.text
        return not (whole and (abs(self.value) < SMALL or int(self.value) in YEARS))

    def rounds_from(self, value: float) -> bool:
        """Whether a value, rounded as this is printed, gives this.

        >>> Stated("93.2%", 0.932, 1, 0.01, 1, "").rounds_from(0.93196)
        True
        """
        if "e" in self.text:
            return abs(value - self.value) <= 1e-6 * abs(self.value)
        return abs(value - self.value) / self.unit <= 0.5 * 10**-self.decimals + EXACT


def stated(text: str) -> list[Stated]:
    """Every number of a Markdown text outside code, links, comments and the headings of tables."""
    visible = HIDDEN.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)
    found: list[Stated] = []
    headings: list[str] = []
    lines = visible.splitlines()
    for line, (content, below) in enumerate(zip_longest(lines, lines[1:], fillvalue=""), start=1):
        in_table = content.lstrip().startswith("|")
        headings = (headings or content.split("|")) if in_table else []
        if below.startswith("|---"):
            continue
        before = -1
        for match in NUMBER.finditer(content):
            sign = -1 if match["sign"] in ("-", "−") else 1
            value = sign * float(match["digits"].replace(",", "") + (match["rest"] or "") + (match["power"] or ""))
            unit = 0.01 if match["percent"] else 1e6 if match["million"] else 1.0
            decimals = len(match["rest"] or ".") - 1
            column = content[: match.start()].count("|") if in_table else 0
            heading = headings[column] if column < len(headings) else ""
            place = found[-1].place + 1 if column == before else 0
            before = column
            found.append(
                Stated(match[0].strip(), value * unit, decimals, unit, line, content.strip(), heading, column, place)
            )
    return found


def as_number(text: str | None) -> float | None:
    """A cell of a CSV as a number, if it is one."""
    try:
        return float(text or "")
    except ValueError:
        return None
