"""One self-contained HTML file: who is alike, how surely, and statement beside statement why.

No script, no request to anywhere: languages switch by style sheet alone. Everything that comes from a submission is
escaped, and characters that would reorder or hide text are shown by their numbers.
"""

import html
from collections.abc import Iterable, Iterator
from pathlib import Path

from shared.files import write_text
from shared.originality.compare import Comparison, OwnerPair, Pair
from shared.originality.explain import Explanation, Run, SharedOddity, UnitMatch, explain
from shared.originality.profiles import Place
from shared.originality.text import Note
from shared.originality.trees import Unit
from shared.originality.wording import KINDS, STYLE, Phrase, phrase, sentence

MOST_PAIRS = 40  # pairs of files that are shown in full
MOST_ROWS = 200  # pairs of owners in the table
MOST_SAID = 20  # notes in the terminal
CONTEXT = 4  # unmatched lines shown after a matching statement
_HIDDEN = frozenset("\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def explained_pairs(comparison: Comparison) -> list[tuple[Pair, Explanation]]:
    """Pairs above the threshold with their reasons; with none above, the five strongest."""
    chosen = comparison.above[:MOST_PAIRS] or comparison.pairs[:5]
    return [(pair, explain(pair, comparison)) for pair in chosen]


def write_html(comparison: Comparison, explained: list[tuple[Pair, Explanation]], path: Path) -> None:
    """Write the report."""
    write_text(path, page(comparison, explained))


def page(comparison: Comparison, explained: list[tuple[Pair, Explanation]]) -> str:
    """The whole document."""
    body = "\n".join(
        [
            _summary(comparison),
            _clusters(comparison),
            _owners(comparison, explained),
            *(_pair(number, pair, found, comparison) for number, (pair, found) in enumerate(explained)),
            _notes(comparison),
        ]
    )
    return (
        '<!doctype html>\n<html lang="es"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Originalidad · Originality</title><style>{STYLE}</style></head><body>"
        '<input type="radio" name="language" id="es" checked><input type="radio" name="language" id="en">'
        '<nav><label for="es" lang="es">Español</label><label for="en" lang="en">English</label></nav>'
        f"<main>\n{body}\n</main></body></html>\n"
    )


def omissions(comparison: Comparison) -> list[str]:
    """For a terminal: what was left out, cut or not read as Python; of very many the first."""
    said = [
        f"{_visible(item.source.title)}: {sentence(note)}"
        for item in comparison.profiles
        for note in item.notes
        if note.kind not in ("runs text", "hidden code")
    ]
    more = [f"… and {len(said) - MOST_SAID} more notes, all in the report"] if len(said) > MOST_SAID else []
    return said[:MOST_SAID] + more


# -------------------------------------------------------------------- parts of the page


def _summary(comparison: Comparison) -> str:
    above = len(comparison.above)
    numbers = (
        (len(comparison.profiles), phrase("files")),
        (comparison.compared, phrase("pairs")),
        (above, phrase("above")),
    )
    cards = "".join(f'<div class="card"><b>{_number(value)}</b>{_both(words)}</div>' for value, words in numbers)
    told = phrase("reading", threshold=f"{comparison.threshold:g}", null=_number(comparison.calibration.pairs))
    return f'<h1>{_both(phrase("title"))}</h1><div class="cards">{cards}</div><p class="lead">{_both(told)}</p>'


def _clusters(comparison: Comparison) -> str:
    if not comparison.clusters:
        return f"<h2>{_both(phrase('clusters'))}</h2><p>{_both(phrase('no clusters'))}</p>"
    items = "".join(f"<li>{' · '.join(_code(name) for name in group)}</li>" for group in comparison.clusters)
    return f"<h2>{_both(phrase('clusters'))}</h2><ol>{items}</ol>"


def _owners(comparison: Comparison, explained: list[tuple[Pair, Explanation]]) -> str:
    if not comparison.owners:
        return f"<p>{_both(phrase('nothing'))}</p>"
    anchors = {id(pair): number for number, (pair, _) in enumerate(explained)}
    heads = "".join(f"<th>{_both(phrase(key))}</th>" for key in ("who", "best files", "evidence", "p", "adjusted"))
    rows = "".join(_owner_row(item, anchors.get(id(item.best)), comparison) for item in comparison.owners[:MOST_ROWS])
    table = f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    return f"<h2>{_both(phrase('owners'))}</h2>{table}"


def _owner_row(item: OwnerPair, anchor: int | None, comparison: Comparison) -> str:
    one, two = item.best.one.profile.source.name, item.best.two.profile.source.name
    link = (
        f'<a href="#pair{anchor}">{_code(one)} ↔ {_code(two)}</a>'
        if anchor is not None
        else f"{_code(one)} ↔ {_code(two)}"
    )
    mark = "strong" if item.best.evidence >= comparison.threshold else "weak"
    return (
        f"<tr><td>{_code(item.one)} ↔ {_code(item.two)}</td><td>{link}</td>"
        f'<td class="{mark}">{item.best.evidence:.2f}{_bar(item.best.evidence, comparison.threshold)}</td>'
        f"<td>{_p(item.best.p_value, comparison)}</td><td>{item.adjusted:.2g} ({_number(item.pairs)})</td></tr>"
    )


def _bar(evidence: float, threshold: float) -> str:
    """Length by evidence, full at four times the threshold."""
    return f'<span class="bar"><i style="width:{min(100, round(25 * evidence / threshold))}%"></i></span>'


def _p(value: float, comparison: Comparison) -> str:
    least = 1 / (comparison.calibration.pairs + 1)
    return f"≤ {value:.2g}" if value <= least * 1.01 else f"{value:.2g}"


def _pair(number: int, pair: Pair, found: Explanation, comparison: Comparison) -> str:
    one, two = (_code(title) for title in pair.titles)
    shares = " ".join(
        f'<span class="chip">{_both(phrase(channel))} {value:.2f}</span>' for channel, value in found.shares.items()
    )
    parts = [
        *(_note(side.profile.source.title, note) for side in (pair.one, pair.two) for note in side.profile.notes),
        *(_unit_match(match, pair) for match in found.units),
        _runs(found.runs),
        _oddities(found.oddities),
    ]
    chips = f'<span class="chip">p {_p(pair.p_value, comparison)}</span> {shares}'
    return (
        f'<section id="pair{number}"><details{" open" if number < 3 else ""}><summary><b>{one} ↔ {two}</b> '
        f'<span class="chip main">{_both(phrase("evidence"))} {pair.evidence:.2f}</span> '
        f"{chips}</summary>{''.join(parts)}</details></section>"
    )


def _unit_match(match: UnitMatch, pair: Pair) -> str:
    why = phrase("why", share=f"{100 * match.share:.0f}", fragments=str(match.fragments), adds=f"{match.adds:.2f}")
    kinds = {item.how for item in match.statements}
    reasons = [phrase(f"how {kind}") for kind in ("identical", "renamed", "structure") if kind in kinds]
    said = _both(why) + " " + " ".join(_both(reason) for reason in reasons)
    if match.names:
        pairs = ", ".join(f"{_code(left)} → {_code(right)}" for left, right in match.names)
        said += f" {_both(phrase('names'))} {pairs}."
    return (
        f'<article><h3>{_code(match.left.name)} ↔ {_code(match.right.name)}</h3><p class="why">{said}</p>'
        f'<div class="wide"><table class="panes"><tbody>{"".join(_rows(match, pair))}</tbody></table></div></article>'
    )


def _rows(match: UnitMatch, pair: Pair) -> Iterator[str]:
    """One row a matching statement, each side followed by what stands unmatched below it."""
    lefts, rights = [item.left for item in match.statements], [item.right for item in match.statements]
    left = _Pane(match.left, match.touched[0], pair.one.profile.source.text).segments(lefts)
    right = _Pane(match.right, match.touched[1], pair.two.profile.source.text).segments(rights)
    yield f"<tr><td>{left[None]}</td><td></td><td>{right[None]}</td></tr>"
    for item in match.statements:
        badge = f'<span class="how {item.how}" title="{item.weight:.1f} nats">{KINDS[item.how]}</span>'
        yield f"<tr><td>{left[item.left]}</td><td>{badge}</td><td>{right[item.right]}</td></tr>"


class _Pane:
    """One side: the lines of a function, without the indentation that they share."""

    def __init__(self, unit: Unit, touched: tuple[int, ...], text: str) -> None:
        self.unit = unit
        self.touched = frozenset(touched)
        self.lines = text.expandtabs(4).split("\n")
        inside = [line for line in self.lines[unit.line - 1 : unit.end] if line.strip()]
        self.margin = min((len(line) - len(line.lstrip()) for line in inside), default=0)

    def segments(self, places: list[Place]) -> dict[Place | None, str]:
        """Each place's lines and what follows up to the next place; under None what stands before the first."""
        ordered = sorted(places)
        start = min([self.unit.line, *(place[0] for place in ordered)])
        found: dict[Place | None, str] = {None: self._rest(start, ordered[0][0]) if ordered else ""}
        for place, following in zip(ordered, [*ordered[1:], None], strict=True):
            end = following[0] if following else min(self.unit.end, len(self.lines)) + 1
            after = max(min(place[1] + 1, end), place[0] + 1)
            own = "".join(self._line(number, "hit") for number in range(place[0], after))
            found[place] = own + self._rest(after, end)
        return found

    def _rest(self, start: int, end: int) -> str:
        """Lines without a partner of their own: those that touch one are kept, of the others the first few."""
        shown, left_out, plain = [], 0, 0
        for number in range(start, min(end, len(self.lines) + 1)):
            if number in self.touched:
                shown.append(self._line(number, "also"))
            elif self.lines[number - 1].strip():
                plain += 1
                shown += [self._line(number, "rest")] if plain <= CONTEXT else []
                left_out += plain > CONTEXT
        return "".join(shown) + (f'<div class="rest"><s></s>⋯ {left_out}</div>' if left_out else "")

    def _line(self, number: int, style: str) -> str:
        line = self.lines[number - 1] if number <= len(self.lines) else ""
        cut = line[self.margin :] if not line[: self.margin].strip() else line
        return f'<div class="{style}"><s>{number}</s>{_text(cut)}</div>'


def _runs(runs: Iterable[Run]) -> str:
    items = "".join(
        f"<li>{run.left[0]}-{run.left[1]} ↔ {run.right[0]}-{run.right[1]} ({run.grams})</li>" for run in runs
    )
    return (
        f'<details class="sub"><summary>{_both(phrase("runs"))}</summary><ul class="runs">{items}</ul></details>'
        if items
        else ""
    )


def _oddities(found: Iterable[SharedOddity]) -> str:
    rows = "".join(
        f"<tr><td>{_both(phrase(item.kind))}</td><td>{_code(item.text[:200])}</td><td>{item.left}</td><td>{item.right}</td></tr>"
        for item in found
    )
    if not rows:
        return ""
    return f'<details class="sub" open><summary>{_both(phrase("odd things"))}</summary><table>{rows}</table></details>'


def _notes(comparison: Comparison) -> str:
    items = "".join(_note(item.source.title, note) for item in comparison.profiles for note in item.notes)
    return f"<h2>{_both(phrase('notes'))}</h2>{items}" if items else ""


def _note(title: str, note: Note) -> str:
    said = phrase(f"note {note.kind}", line=str(note.line), detail=_visible(note.detail))
    return f'<p class="note">⚠ {_code(title)}: {_both(said)}</p>'


# -------------------------------------------------------------------- text


def _number(value: int) -> str:
    """With a narrow space between thousands, which reads the same in both languages."""
    return f"{value:,}".replace(",", "\u202f")


def _both(words: Phrase) -> str:
    return f'<span class="es" lang="es">{words.es}</span><span class="en" lang="en">{words.en}</span>'


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _text(text: str) -> str:
    return html.escape(_visible(text), quote=True)


def _visible(text: str) -> str:
    """Control, direction and zero-width characters, and halves of surrogates, by their numbers."""
    return "".join(f"\\u{ord(char):04x}" if _is_hidden(char) else char for char in text)


def _is_hidden(char: str) -> bool:
    return char in _HIDDEN or (ord(char) < 32 and char != "\t") or 0xD800 <= ord(char) < 0xE000
