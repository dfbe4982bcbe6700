"""The film's criteria. A film that is missing or old is rendered first, from the recording in the tree.

Whatever lies in build/ has to be that recording's film: pictures are looked at where nobody knew before.
"""

import re
import sys
from collections.abc import Callable

from shared.course.grading import children
from shared.course.grading.outcomes import Context, Outcome, Said, not_there
from shared.course.project import Project, stale
from shared.errors import UserError

LEAST_WORDS = 0.5  # of captions, a second of film: a film that says less explains nothing


def present(project: Project) -> bool:
    """Whether both films are there and up to date."""
    from shared.course.film import film

    return film.up_to_date(project)


def trouble(context: Context) -> str:
    """Why there is no present film, after making one if it was missing; "" if there is one."""
    if "film" not in context.memo:
        context.memo["film"] = "" if present(context.project) else _render(context)
    return context.memo["film"]


def _render(context: Context) -> str:
    from shared.course.film import kept

    if not (context.project.film / kept.CAST).is_file():
        makes = f"make demo-{context.project.name} ARGS=--keep"
        return Said(f"no recording yet: {makes} makes one", f"aún sin grabación: {makes} la hace")
    command = [sys.executable, "-m", "shared.course", "film", context.project.name]
    ended = children.run(command, context.project.root, context.limits)
    if ended.code == 0:
        return ""
    lines = ended.output.strip().splitlines() or [""]
    return ended.trouble or lines[-1].removeprefix("error: ")


def forged(context: Context) -> str:
    """What shows that the videos are not the recording's film, "" if nothing does; looked at once."""
    if "forged" not in context.memo:
        from shared.course.film import film, genuine

        made, said = film.receipt(context.project) or {}, ""
        for edition in film.LENGTHS:
            if not said and (context.project.build / f"{edition}.mp4").is_file():
                try:
                    said = genuine.difference(context.project, edition, made)
                except UserError as error:
                    said = str(error)
        context.memo["forged"] = Said(said, said) if said else ""
    return context.memo["forged"]


def length(edition: str) -> Callable[[Context], Outcome]:
    """A check of one edition's file: readable, and as long as the course asks for."""

    def check(context: Context) -> Outcome:
        from shared.course.film import encoding, film

        why = trouble(context)
        path = context.project.build / f"{edition}.mp4"
        if not path.is_file():
            return Outcome(0.0, not_there(str(path.relative_to(context.project.root)), why))
        if other := forged(context):
            return Outcome(0.0, other)
        found = encoding.probe(path)
        least, most = film.LENGTHS[edition]  # type: ignore[index]
        size = f"{found.size / 1e6:.1f} MB"
        told = (f"{least} to {most} are asked for; {size}", f"se piden de {least} a {most}; {size}")
        return Outcome(
            float(least <= found.seconds <= most),
            Said(f"{found.seconds:.0f} s, ", f"{found.seconds:.0f} s, ") + Said(*told),
        )

    return check


def chapters(context: Context) -> Outcome:
    """The chapter markers in the file."""
    from shared.course.film import encoding, screenplay

    why, path = trouble(context), context.project.build / "demo.mp4"
    if not path.is_file():
        return Outcome(0.0, not_there(path.name, why))
    if other := forged(context):
        return Outcome(0.0, other)
    found = len(encoding.probe(path).chapters)
    wanted = len(screenplay.CHAPTERS)
    told = (f"{found} of {wanted} chapter markers", f"{found} de {wanted} marcas de capítulo")
    return Outcome(min(found, wanted) / wanted, Said(*told))


def captions(context: Context) -> Outcome:
    """Caption files in both languages that say something, and whose last cue ends with the film."""
    from shared.course.film import encoding, film, screenplay

    why, film_path = trouble(context), context.project.build / "demo.mp4"
    if not film_path.is_file():
        return Outcome(0.0, not_there(film_path.name, why))
    if other := forged(context):
        return Outcome(0.0, other)
    ends = encoding.probe(film_path).seconds
    good = []
    for language in screenplay.LANGUAGES:
        path = film.captions(context.project, "demo", language, "srt")
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        clocks = re.findall(r"--> (\d+):(\d+):(\d+),", text)
        if clocks:
            hours, minutes, seconds = map(int, clocks[-1])
            says = len(re.findall(r"[^\W\d_]{2,}", text)) >= LEAST_WORDS * ends
            good += [language] if says and abs(3600 * hours + 60 * minutes + seconds - ends) < 5 else []
    names = ", ".join(good)
    told = (
        f"captions to the film's end in: {names or 'no language'}",
        f"subtítulos hasta el final en: {names or 'ninguna lengua'}",
    )
    return Outcome(len(good) / len(screenplay.LANGUAGES), Said(*told))


def age(context: Context) -> Outcome:
    """Whether the film was made from the demo.toml and results that are there now."""
    from shared.course.film import film

    why = trouble(context)
    made = film.receipt(context.project)
    if made is None:
        return Outcome(0.0, not_there("film.json", why))
    if other := forged(context):
        return Outcome(0.0, other)
    changed = ", ".join(stale(context.project, made["sources"]))
    if changed:
        return Outcome(
            0.0, Said(f"changed since it was made: {changed}; {why}", f"cambió desde que se hizo: {changed}; {why}")
        )
    commit, since = made.get("commit", "?")[:10], ", ".join(made.get("changed", ()))
    told = Said(
        f"made from the present screenplay and results, recorded at commit {commit}",
        f"hecho con el guion y los resultados actuales, grabado en el commit {commit}",
    )
    return Outcome(1.0, told + (Said(f"; changed since: {since}", f"; cambió después: {since}") if since else ""))
