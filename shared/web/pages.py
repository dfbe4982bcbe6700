"""Pages in two languages from templates: which language, which text, which file.

A text has a name and stands in texts.toml in Spanish and English; a template says `{{ t("name") }}`. The language is
what the link of the switch asks for (`?lang=en`), else what was chosen before (a cookie), else the browser's.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from shared.errors import UserError

HERE = Path(__file__).parent
LANGUAGES = ("es", "en")  # the first is for those who prefer neither
COOKIE = "lang"
A_YEAR = 31_536_000  # seconds

Texts = dict[str, dict[str, str]]


class Pages:
    """Templates, texts and files of a service, before those that all services share.

    Args:
        folder: Holds the service's templates and texts.toml, and static/ if it has files of its own.

    Raises:
        UserError: If a text lacks a language.
    """

    def __init__(self, folder: Path) -> None:
        self.texts = read_texts(HERE / "texts.toml") | read_texts(folder / "texts.toml")
        self.static = {"own": folder / "static", "shared": HERE / "static"}
        loader = ChoiceLoader([FileSystemLoader(folder), FileSystemLoader(HERE / "templates")])
        self._environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
        self._environment.globals |= {"file": self.file, "languages": LANGUAGES}

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page, in the language of the request."""
        language = language_of(request)
        text = self._environment.get_template(template).render(
            request=request,
            language=language,
            t=partial(self.say, language),
            switch=partial(_switch, request),
            **values,
        )
        response = HTMLResponse(text, status, {"Cache-Control": "no-store", "Content-Language": language})
        if request.query_params.get("lang") == language:
            response.set_cookie(COOKIE, language, max_age=A_YEAR, samesite="lax", httponly=True)
        return response

    def say(self, language: str, name: str, /, **values: Any) -> str:
        """A text by its name, with values in its braces."""
        try:
            return self.texts[name][language].format(**values)
        except KeyError as missing:
            raise UserError(f"the text {name!r} lacks {missing}") from None

    def spoken(self, language: str, start: str = "") -> dict[str, str]:
        """All texts whose name begins so, for a script."""
        return {name: each[language] for name, each in self.texts.items() if name.startswith(start)}

    def file(self, name: str) -> str:
        """Address of a static file: it changes with its content, so that a browser may keep it for ever."""
        for where, folder in self.static.items():
            if (folder / name).is_file():
                return f"/static/{where}/{name}?{_digest(folder / name, (folder / name).stat().st_mtime_ns)}"
        raise UserError(f"no static file {name}")


def read_texts(path: Path) -> Texts:
    """Texts by name: of each table, Spanish and English.

    Raises:
        UserError: If a language is missing or empty, or the braces of the two differ.
    """
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None
    found = dict(_flat(read))
    for name, each in found.items():
        if set(each) != set(LANGUAGES) or not all(each.values()):
            raise UserError(f"{path}: {name} must be said in {' and '.join(LANGUAGES)}")
        if len({frozenset(re.findall(r"\{(\w*)", text)) for text in each.values()}) > 1:
            raise UserError(f"{path}: {name} has other values in one language than in the other")
    return found


def _flat(read: dict[str, Any], start: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    for name, value in read.items():
        if all(isinstance(each, str) for each in value.values()):
            yield start + name, value
        else:
            yield from _flat(value, f"{start}{name}.")


def language_of(request: Request) -> str:
    """Which of LANGUAGES a request wants."""
    for wanted in (request.query_params.get("lang"), request.cookies.get(COOKIE)):
        if wanted in LANGUAGES:
            return str(wanted)
    return _preferred(request.headers.get("accept-language", ""))


def _preferred(header: str) -> str:
    """The first of the browser's languages, by weight, that we speak (RFC 9110, §12.5.4)."""
    ranked = []
    for place, part in enumerate(header[:1000].split(",")):
        tag, _, weight = part.strip().partition(";q=")
        try:
            ranked.append((-float(weight or 1), place, tag[:2].lower()))
        except ValueError:
            continue
    return next((tag for _, _, tag in sorted(ranked) if tag in LANGUAGES), LANGUAGES[0])


def _switch(request: Request, language: str) -> str:
    """This address in another language."""
    return f"?{request.url.include_query_params(lang=language).query}"


@cache
def _digest(path: Path, _: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
