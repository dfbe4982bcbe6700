"""Words and style sheet of the report, in Spanish and English."""

import html
from dataclasses import dataclass

from shared.originality.text import Note


@dataclass(frozen=True)
class Phrase:
    """The same thing in both languages."""

    es: str
    en: str


def phrase(key: str, **values: str) -> Phrase:
    """A phrase with its values, which are escaped, put in."""
    found = _PHRASES[key]
    safe = {name: html.escape(value) for name, value in values.items()}
    return Phrase(found.es.format(**safe), found.en.format(**safe))


def sentence(note: Note) -> str:
    """What a note says, in English and plain text."""
    return _PHRASES[f"note {note.kind}"].en.format(line=note.line, detail=note.detail)


KINDS = {"identical": "=", "renamed": "≈", "structure": "∼"}

_PHRASES = {
    "title": Phrase("Informe de originalidad", "Originality report"),
    "files": Phrase("archivos", "files"),
    "pairs": Phrase("pares comparados", "pairs compared"),
    "above": Phrase("pares sobre el umbral", "pairs above the threshold"),
    "reading": Phrase(
        "La <b>evidencia</b> mide cuánto más raro es lo compartido que lo que comparten archivos independientes: "
        "1 es lo máximo que alcanzó alguno de {null} pares escritos sin relación entre sí; el umbral es {threshold}. "
        "<b>p</b> es la fracción de esos pares que llega a tanto. No es un porcentaje de copia ni una sentencia: "
        "lea los fragmentos, y hable con las personas.",
        "<b>Evidence</b> measures how much rarer the shared code is than what independent files share: "
        "1 is the most that any of {null} unrelated pairs reached; the threshold is {threshold}. "
        "<b>p</b> is the fraction of those pairs that reach as much. It is neither a percentage of copying nor a "
        "verdict: read the fragments, and talk to the people.",
    ),
    "clusters": Phrase("Grupos", "Clusters"),
    "no clusters": Phrase("Ningún par supera el umbral.", "No pair is above the threshold."),
    "nothing": Phrase("Nada en común fuera de lo corriente.", "Nothing uncommon is shared."),
    "owners": Phrase("Pares de entregas", "Pairs of submissions"),
    "who": Phrase("Entregas", "Submissions"),
    "best files": Phrase("Archivos más parecidos", "Most alike files"),
    "evidence": Phrase("Evidencia", "Evidence"),
    "p": Phrase("p", "p"),
    "adjusted": Phrase("p ajustado (pares de archivos)", "adjusted p (file pairs)"),
    "trees": Phrase("estructura", "structure"),
    "tokens": Phrase("secuencias", "token runs"),
    "oddities": Phrase("rarezas", "oddities"),
    "why": Phrase(
        "Coincide el {share} % del peso de la menor de las dos ({fragments} fragmentos del árbol ya normalizado); "
        "aporta {adds} a la evidencia.",
        "{share} % of the weight of the smaller one matches ({fragments} fragments of the normalised tree); it adds "
        "{adds} to the evidence.",
    ),
    "how identical": Phrase(
        '<span class="how identical">=</span> mismo texto.', '<span class="how identical">=</span> same text.'
    ),
    "how renamed": Phrase(
        '<span class="how renamed">≈</span> mismos símbolos, otros nombres o valores.',
        '<span class="how renamed">≈</span> same tokens, other names or values.',
    ),
    "how structure": Phrase(
        '<span class="how structure">∼</span> misma estructura tras deshacer temporales, orden, comparaciones, bucles.',
        '<span class="how structure">∼</span> same structure once temporaries, order, comparisons or loops are undone.',
    ),
    "names": Phrase("Nombres en el mismo lugar:", "Names in the same place:"),
    "runs": Phrase("Secuencias de símbolos compartidas (líneas)", "Shared runs of tokens (lines)"),
    "odd things": Phrase("Rarezas compartidas", "Shared oddities"),
    "misspelling": Phrase("errata", "misspelling"),
    "comment": Phrase("comentario", "comment"),
    "literal": Phrase("literal", "literal"),
    "number": Phrase("número", "number"),
    "rare word": Phrase("palabra rara", "rare word"),
    "notes": Phrase("Avisos", "Notes"),
    "note unparsed": Phrase(
        "no se puede analizar como Python ({detail}): se compara solo por símbolos.",
        "does not parse ({detail}): compared by tokens only.",
    ),
    "note too deep": Phrase(
        "anidado a demasiada profundidad: se compara solo por símbolos.",
        "nested too deep: compared by tokens only.",
    ),
    "note cut": Phrase(
        "pasa de {detail}: solo se comparó su comienzo.", "longer than {detail}: only its start was compared."
    ),
    "note shortened": Phrase(
        "muy largo: se quitaron líneas de comentario y en blanco; los números de línea son otros.",
        "very long: comment and blank lines were taken out; line numbers are others.",
    ),
    "note left out": Phrase(
        "no se comparó {detail} archivos: parece un entorno instalado.",
        "not compared: {detail} files, which look like an installed environment.",
    ),
    "note links": Phrase("{detail} enlaces no se siguieron.", "{detail} links were not followed."),
    "note cell": Phrase(
        "la celda {detail} no es Python y se compara como comentario.",
        "cell {detail} is no Python and is compared as a comment.",
    ),
    "note encoding": Phrase(
        "no es válido en su codificación: se leyó como Latin-1.", "not valid in its encoding: read as Latin-1."
    ),
    "note notebook": Phrase(
        "no es un cuaderno legible ({detail}): se compara como texto.",
        "not a readable notebook ({detail}): compared as text.",
    ),
    "note runs text": Phrase(
        "línea {line}: {detail} ejecuta texto como código.", "line {line}: {detail} runs text as code."
    ),
    "note hidden code": Phrase(
        "línea {line}: código oculto en una cadena ({detail}); se compara como código.",
        "line {line}: code hidden in a string ({detail}); compared as code.",
    ),
}

STYLE = """
:root{--ink:#1d2733;--soft:#5b6776;--line:#dde3ea;--paper:#fff;--back:#f5f7fa;--blue:#0072b2;--red:#b3470c}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,"Segoe UI","DejaVu Sans",sans-serif}
main{max-width:1240px;margin:0 auto;padding:12px 20px 60px}
input[name=language]{position:absolute;opacity:0}
nav{max-width:1240px;margin:0 auto;padding:14px 20px 0;text-align:right}
nav label{padding:4px 12px;border:1px solid var(--line);cursor:pointer;background:var(--paper);color:var(--soft)}
nav label:first-child{border-radius:6px 0 0 6px}nav label:last-child{border-radius:0 6px 6px 0;border-left:0}
#es:checked~nav label[for=es],#en:checked~nav label[for=en]{background:var(--blue);color:#fff;border-color:var(--blue)}
#es:focus-visible~nav label[for=es],#en:focus-visible~nav label[for=en]{outline:3px solid #56b4e9}
#es:checked~main .en,#en:checked~main .es{display:none}
h1{font-size:26px;margin:8px 0 14px}h2{font-size:19px;margin:30px 0 10px}h3{font-size:15px;margin:0 0 4px}
.cards{display:flex;gap:12px;flex-wrap:wrap}
.card{background:var(--paper);border:1px solid var(--line);border-radius:8px;padding:10px 18px;color:var(--soft)}
.card b{display:block;font-size:24px;color:var(--ink)}
.lead{max-width:80ch;color:var(--soft)}
code,.panes{font-family:ui-monospace,"DejaVu Sans Mono",Consolas,monospace;font-size:12.5px}
code{overflow-wrap:anywhere}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;background:var(--paper);border:1px solid var(--line)}
th,td{text-align:left;padding:6px 10px;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--soft)}
td.strong{color:var(--red);font-weight:700}
.bar{display:block;width:90px;height:5px;background:var(--line);border-radius:3px;margin-top:4px}
.bar i{display:block;height:5px;border-radius:3px;background:currentColor}
a{color:var(--blue)}
section{margin-top:18px;background:var(--paper);border:1px solid var(--line);border-radius:8px;padding:12px 16px}
summary{cursor:pointer}
.chip{display:inline-block;padding:1px 9px;border-radius:10px;background:#eef2f6;color:var(--soft);font-size:13px}
.chip.main{background:var(--red);color:#fff}
article{margin:18px 0 22px;border-top:1px solid var(--line);padding-top:14px}
.why{margin:0 0 8px;color:var(--soft)}
.panes{table-layout:fixed;min-width:720px}
.panes td{padding:2px 0;border-bottom:1px solid #edf1f5;width:calc(50% - 17px)}
.panes td:nth-child(2){width:34px;text-align:center;padding-top:3px}
.panes div{white-space:pre-wrap;overflow-wrap:anywhere;padding:0 6px 0 52px;position:relative;min-height:1.5em}
.panes s{position:absolute;left:0;width:42px;text-align:right;color:#98a4b3;text-decoration:none;user-select:none}
.hit{background:#fff3d6}.also{background:#fffaee}.rest{color:#7a8694}
.how{display:inline-block;min-width:20px;padding:0 5px;border-radius:4px;text-align:center;font-weight:700;color:#fff}
.how.identical{background:#b3470c}.how.renamed{background:#8a5a00}.how.structure{background:#0072b2}
.sub{margin:10px 0}.runs{columns:4 200px;font-size:13px}
.note{background:#fff8e5;border-left:4px solid #e69f00;padding:6px 12px;margin:8px 0}
@media print{nav{display:none}}
"""
