"""The executed notebook as one HTML file that loads nothing: what a browser opens, with no Jupyter installed.

The notebook is a project's own: its prose becomes HTML by Markdown without raw tags, and no script of it is run.
"""

import json
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from shared.course.pages import esc, style
from shared.course.project import Project
from shared.errors import UserError
from shared.files import write_text

CODE = HtmlFormatter(style="xcode", nowrap=True)  # its colours have the contrast that small text needs
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
OWN = (
    "main{max-width:60rem}main img{max-width:100%;height:auto;background:#fff}main table{width:auto}"
    ".code{border-left:3px solid var(--link);background:var(--card);max-height:none}.code code{background:none}"
    ".output{margin:.6rem 0 1.4rem;overflow-x:auto}"
    ".output td{overflow-wrap:break-word}"  # a wide table scrolls; no word of it is cut in two
)


def write(project: Project) -> Path:
    """Write build/notebook/<project>.html. Returns its path.

    Raises:
        UserError: If the notebook is not there or cannot be read.
    """
    path = project.results / "notebook.ipynb"
    try:
        book = json.loads(path.read_text(encoding="utf-8"))
        body = "".join(_cell(cell) for cell in book["cells"])
    except FileNotFoundError:
        raise UserError(f"results/notebook.ipynb is not there: run make notebook-{project.name}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"results/notebook.ipynb cannot be shown: {error!r}") from None
    write_text(project.notebook_page, html(project.name, body))
    return project.notebook_page


def html(name: str, body: str) -> str:
    """The page around the cells."""
    colours = CODE.get_style_defs(".code")
    dark = "@media(prefers-color-scheme:dark){.code,.code *{color:var(--ink)!important}}"
    return (
        f'<!doctype html>\n<html lang="es"><head><meta charset="utf-8"><title>{esc(name)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{colours}{style()}{OWN}{dark}</style></head><body><main>{body}</main></body></html>\n"
    )


def _cell(cell: dict[str, Any]) -> str:
    source = _text(cell["source"])
    if cell["cell_type"] == "markdown":
        return _markdown(source)
    code = (
        f'<pre class="code" tabindex="0"><code>{highlight(source, PythonLexer(), CODE)}</code></pre>' if source else ""
    )
    shown = "".join(_output(each) for each in cell.get("outputs", ()))
    return code + (f'<div class="output" tabindex="0">{shown}</div>' if shown else "")


def _output(output: dict[str, Any]) -> str:
    """The richest form that needs no script."""
    data = output.get("data", {})
    if "image/png" in data:
        return f'<img alt="" src="data:image/png;base64,{esc(_text(data["image/png"]).replace(chr(10), ""))}">'
    if "text/html" in data:
        return _text(data["text/html"])
    if "text/markdown" in data:
        return _markdown(_text(data["text/markdown"]))
    return f"<pre><code>{esc(_text(data.get('text/plain', output.get('text', ''))))}</code></pre>"


def _markdown(text: str) -> str:
    return MarkdownIt("commonmark", {"html": False}).enable("table").render(text)


def _text(value: Any) -> str:
    """Jupyter keeps a text as one string or as a list of lines."""
    return "".join(value)
