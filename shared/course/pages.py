"""One look for the HTML pages: self-contained, in Spanish or English, light or dark, readable, reachable by keyboard.

The switch of languages works without scripts; a few lines of script remember it, on this page and on the others.
"""

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
DARK = {
    "paper": "#10151d",
    "card": "#18202b",
    "ink": "#e9eef5",
    "muted": "#b3c0d0",
    "line": "#38465a",
    "link": "#86c5ff",
    "good": "#8be0b0",
    "good-paper": "#123324",
    "bad": "#ffb0a3",
    "bad-paper": "#43190f",
    "open": "#ffd98a",
    "open-paper": "#3b2c05",
    "bar": "#0b2238",
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
SCRIPT = Path(__file__).with_name("page.js")


def esc(text: object) -> str:
    """Text for HTML, attributes included."""
    return html.escape(str(text), quote=True)


def both(spanish: object, english: object, tag: str = "span") -> str:
    """A text in both languages; the switch hides one."""
    return f'<{tag} lang="es">{esc(spanish)}</{tag}><{tag} lang="en">{esc(english)}</{tag}>'


def scrollable(tag: str, inner: str, name: tuple[str, str]) -> str:
    """A part that is wider than a phone: it scrolls by keyboard too. `inner` is HTML."""
    spanish, english = (esc(each) for each in name)
    return f'<{tag} class="wide" tabindex="0" role="region" aria-label="{spanish} / {english}">{inner}</{tag}>'


def page(title: tuple[str, str], lead: tuple[str, str], body: str) -> str:
    """A whole page; Spanish is shown first, then the language that was chosen last."""
    switch = (
        '<input class="lang" type="radio" name="lang" id="es" checked aria-label="Español">'
        '<input class="lang" type="radio" name="lang" id="en" aria-label="English">'
        '<div class="langs"><label for="es">ES</label><label for="en">EN</label></div>'
    )
    head = (
        f'<meta charset="utf-8"><title>{esc(title[0])}</title><style>{style()}</style>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
    )
    header = f"<header><h1>{both(*title)}</h1>{both(*lead, tag='p')}</header>"
    script = f"<script>{SCRIPT.read_text(encoding='utf-8')}</script>"
    titles = f'data-es="{esc(title[0])}" data-en="{esc(title[1])}"'
    return (
        f'<!doctype html>\n<html lang="es" {titles}><head>{head}</head><body>{switch}{header}<main>{body}</main>'
        f"{script}</body></html>\n"
    )


def style() -> str:
    """The style sheet, with the colours of both schemes."""
    light, dark = ("".join(f"--{name}:{value};" for name, value in each.items()) for each in (COLOURS, DARK))
    schemes = f":root{{color-scheme:light dark;{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"
    return schemes + STYLE.read_text(encoding="utf-8")


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
