"""What the notebook shows of the results, or that it was not measured yet: a part of the study may be missing."""

from projects.news_cls.measure.shown import views
from projects.news_cls.study import RESULTS
from shared.course.cells import Picture, Table, declared


def measured(name: str) -> Table | str:
    """A table of the results, in Spanish."""
    shown = views(RESULTS)
    return declared(*shown[name]) if name in shown else f"{name}: aún no medido"


def drawn(name: str, text: str) -> Picture | str:
    """A figure of the results, with a text for those who cannot see it."""
    path = RESULTS / f"{name}.es.png"
    return Picture(path, text) if path.is_file() else f"{name}: aún no dibujado"
