"""One look for the HTML pages: self-contained, two languages without scripts, readable and reachable by keyboard."""

import html
from pathlib import Path

# Foreground on background pairs whose contrast a test computes: WCAG 2.1 asks 4.5:1 for text.
COLOURS = {
    "paper": "#f5f7fa",
    "card": "#ffffff",
    "ink": "#17212e",
    "muted": "#4a5868",
    "line": "#cfd8e3",
    "link": "#004f8c",
    "good": "#0b6138",
    "good-paper": "#e2f4ea",
    "bad": "#8f2313",
    "bad-paper": "#fdeae6",
    "open": "#6b4a00",
    "open-paper": "#fff3d6",
    "bar": "#12324f",
    "on-bar": "#ffffff",
}
PAIRS = (
    ("ink", "paper"),
    ("ink", "card"),
    ("muted", "paper"),
    ("muted", "card"),
    ("link", "card"),
    ("link", "paper"),
    ("good", "good-paper"),
    ("bad", "bad-paper"),
    ("open", "open-paper"),
    ("on-bar", "bar"),
)

STYLE = Path(__file__).with_name("page.css")


def esc(text: object) -> str:
    """Text for HTML, attributes included."""
    return html.escape(str(text), quote=True)


def both(spanish: object, english: object, tag: str = "span") -> str:
    """A text in both languages; the switch hides one."""
    return f'<{tag} lang="es">{esc(spanish)}</{tag}><{tag} lang="en">{esc(english)}</{tag}>'


def page(title: tuple[str, str], lead: tuple[str, str], body: str) -> str:
    """A whole page; Spanish is shown first."""
    variables = ":root{" + "".join(f"--{name}:{value};" for name, value in COLOURS.items()) + "}"
    switch = (
        '<input class="lang" type="radio" name="lang" id="es" checked aria-label="Español">'
        '<input class="lang" type="radio" name="lang" id="en" aria-label="English">'
        '<div class="langs"><label for="es">ES</label><label for="en">EN</label></div>'
    )
    style = variables + STYLE.read_text(encoding="utf-8")
    head = (
        f'<meta charset="utf-8"><title>{esc(title[0])}</title><style>{style}</style>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
    )
    header = f"<header><h1>{both(*title)}</h1>{both(*lead, tag='p')}</header>"
    return (
        f'<!doctype html>\n<html lang="es"><head>{head}</head><body>{switch}{header}<main>{body}</main></body></html>\n'
    )


def contrast(one: str, other: str) -> float:
    """Ratio of the luminances of two colours, 1 to 21.

    Source: W3C, WCAG 2.1, "relative luminance" and "contrast ratio".

    >>> round(contrast("#ffffff", "#000000"), 1)
    21.0
    """
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [value / 255 for value in bytes.fromhex(colour.removeprefix("#"))]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
