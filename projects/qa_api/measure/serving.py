"""The tables of the service: what is measured of it, and what the README shows of each row."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from projects.qa_api.measure import agreement, cases, freshness, kills, load, searches
from shared.study import table

Rows = list[dict[str, Any]]
SPANISH = {
    "as fast as answered": "en cuanto contesta",
    "half the capacity": "a la mitad de la capacidad",
    "70 % of the capacity": "al 70 % de la capacidad",
    "twice the capacity": "al doble de la capacidad",
    "twice the capacity, longer": "al doble de la capacidad, más tiempo",
    "nothing": "nada",
    "rebuilds": "reconstrucciones",
    "put, then found": "puesto, después encontrado",
    "put, then answered from": "puesto, después contesta",
    "deleted, then in no answer": "borrado, después en ninguna respuesta",
    "deleted, then not found": "borrado, después no encontrado",
    "words and vectors": "palabras y vectores",
}
LOAD = table(
    "load",
    ("load", "carga", "{load}"),
    ("clients", "clientes", "{clients}"),
    ("asked a second", "preguntas por segundo", "{asked_a_second:.1f}"),
    ("answered", "contestadas", "{answered_a_second:.1f}"),
    ("refused 503", "rechazadas 503", "{refused_503:.0%}"),
    ("other answers", "otras respuestas", "{other}"),
    ("median", "mediana", "{median_ms:.0f} ms"),
    ("99 %", "99 %", "{p99_ms:.0f} ms"),
    ("memory (grown)", "memoria (crecida)", "{memory_mb:.0f} MB ({grown_mb:+.1f})"),
    title="Questions from many clients",
    spanish=SPANISH,
)
WORDS = table(
    "words",
    ("documents", "documentos", "{documents}"),
    ("indexed in", "indexados en", "{indexed_s:.1f} s"),
    ("BM25 queries a second, one thread", "consultas BM25 por segundo, un hilo", "{queries_a_second}"),
    ("99 %", "99 %", "{p99_ms:.1f} ms"),
    title="BM25 alone",
)
REBUILD = table(
    "rebuild",
    ("searches beside", "búsquedas junto a", "{beside}"),
    ("documents", "documentos", "{documents}"),
    ("rebuilds", "reconstrucciones", "{rebuilds}"),
    ("median", "mediana", "{median_ms:.1f} ms"),
    ("99 %", "99 %", "{p99_ms:.1f} ms"),
    ("times the quiet one", "veces la tranquila", "{times_quiet:.2f}"),
    title="Searches while the index is made again",
    spanish=SPANISH,
)
FRESH = table(
    "fresh",
    ("step", "paso", "{step}"),
    ("documents", "documentos", "{documents}"),
    ("within 1 s", "en 1 s", "{within_1_s:.0%}"),
    ("median", "mediana", "{median_ms:.0f} ms"),
    ("slowest", "lo más lento", "{slowest_ms:.0f} ms"),
    title="How soon a change shows",
    spanish=SPANISH,
)
KILLS = table(
    "kills",
    ("kill -9", "kill -9", "{kills}"),
    ("changes acknowledged", "cambios confirmados", "{acknowledged}"),
    ("unanswered", "sin respuesta", "{unanswered}"),
    ("lost", "perdidos", "{lost}"),
    ("deleted and back", "borrados que vuelven", "{returned}"),
    ("index and store apart", "índice y almacén distintos", "{index_apart}"),
    title="Killed while it writes",
)
CASES = table(
    "cases",
    ("requests made from the document", "peticiones hechas del documento", "{cases}"),
    ("routes", "rutas", "{routes}"),
    ("2xx", "2xx", "{ok}"),
    ("4xx", "4xx", "{refused}"),
    ("5xx", "5xx", "{failed}"),
    title="Requests made by schemathesis",
)
AGREEMENT = table(
    "agreement",
    ("graph", "grafo", "{precision}"),
    ("questions", "preguntas", "{pairs}"),
    ("same span", "mismo tramo", "{same_span:.3f}"),
    ("same span, where torch answers", "mismo tramo, donde torch contesta", "{same_where_answered:.3f}"),
    ("same decision", "misma decisión", "{same_decision:.3f}"),
    ("margins apart, most", "márgenes, lo más lejos", "{margin_apart:.3g}"),
    title="The exported reader beside torch",
)
BENCH = table(
    "bench",
    ("search", "búsqueda", "{search}"),
    ("document read", "documento leído", "{found:.3f}"),
    ("exact", "exacta", "{exact:.3f}"),
    ("F1", "F1", "{f1:.3f}"),
    ("search, median", "búsqueda, mediana", "{search_ms:.1f} ms"),
    ("answer, median", "respuesta, mediana", "{median_ms:.0f} ms"),
    ("99 %", "99 %", "{p99_ms:.0f} ms"),
    title="The same reader behind other searches",
    spanish=SPANISH,
)
TABLES = (LOAD, WORDS, REBUILD, FRESH, KILLS, CASES, AGREEMENT, BENCH)


def measures(run: Path, *, seconds: float = 20.0, soak: float = 0.0) -> dict[str, Callable[[], Rows]]:
    """What fills each table but the bench's, of a reader's run that has been exported."""
    return {
        "load": lambda: load.rows(run, seconds=seconds, soak=soak),
        "words": searches.words,
        "rebuild": lambda: searches.rebuilding(run, seconds=seconds),
        "fresh": lambda: freshness.rows(run),
        "kills": kills.rows,
        "cases": cases.rows,
        "agreement": lambda: agreement.rows(run),
    }
