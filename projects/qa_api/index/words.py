"""BM25 over words: tantivy's index in memory, fed from the store of documents.

Each language has a field with its own stemmer. A query is a set of terms and never a syntax: what a user types is text.
Marks that nobody sees (zero-width spaces, soft hyphens, directions of writing) split no word, here or in a query.
"""

import unicodedata
from collections.abc import Iterable, Sequence

import tantivy

from projects.qa_api.data.documents import Document, Language

HEAP = 30_000_000  # bytes that the writer may use
STEMMERS: dict[Language, str] = {"en": "english", "es": "spanish"}
STOPWORDS: dict[Language, str] = {"en": "english", "es": "spanish"}
MOST_TERMS = 64


def analyzer(language: Language) -> tantivy.TextAnalyzer:
    """Words in lower case, without accents and stop words, as stems."""
    build = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).filter(tantivy.Filter.lowercase())
    build = build.filter(tantivy.Filter.remove_long(40)).filter(tantivy.Filter.stopword(STOPWORDS[language]))
    return build.filter(tantivy.Filter.stemmer(STEMMERS[language])).filter(tantivy.Filter.ascii_fold()).build()


def visible(text: str) -> str:
    """A text without the marks of format that nobody sees (category Cf); offsets into it are not those of the text.

    >>> visible("Val\u200bletta")
    'Valletta'
    """
    return text if text.isascii() else "".join(c for c in text if unicodedata.category(c) != "Cf")


class WordIndex:
    """Documents by their words. Changes are seen after `commit`; there is one writer, several may read."""

    def __init__(self) -> None:
        schema = tantivy.SchemaBuilder()
        schema.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
        for language in STEMMERS:
            schema.add_text_field(f"body_{language}", tokenizer_name=language, index_option="freq")
        self._schema = schema.build()
        self._index = tantivy.Index(self._schema)
        self._analyzers = {language: analyzer(language) for language in STEMMERS}
        for language, built in self._analyzers.items():
            self._index.register_tokenizer(language, built)
        self._writer = self._index.writer(heap_size=HEAP, num_threads=1)

    def put(self, documents: Iterable[Document]) -> None:
        """Add documents, or replace those of the same id."""
        for document in documents:
            self._writer.delete_documents_by_term("id", document.id)
            text = visible(f"{document.title}. {document.text}")
            fields = {"id": document.id, f"body_{document.language}": text}
            self._writer.add_document(tantivy.Document(**{name: [value] for name, value in fields.items()}))

    def remove(self, ids: Iterable[str]) -> None:
        """Take documents out; ids that are not there are none."""
        for each in ids:
            self._writer.delete_documents_by_term("id", each)

    def commit(self) -> None:
        """Let searches see what changed."""
        self._writer.commit()
        self._index.reload()

    def __len__(self) -> int:
        return int(self._index.searcher().num_docs)

    def terms(self, text: str, language: Language) -> list[str]:
        """The stems of a text that are searched, each once."""
        return list(dict.fromkeys(self._analyzers[language].analyze(visible(text))))[:MOST_TERMS]

    def search(self, text: str, k: int, languages: Sequence[Language] = ("en", "es")) -> list[tuple[str, float]]:
        """(id, BM25) of the best k, best first; equal scores in the order of ids.

        Source: Robertson and Zaragoza 2009, with k1 = 1.2 and b = 0.75; the title is the text's beginning.
        """
        clauses = []
        for language in languages:
            for term in self.terms(text, language):
                clauses.append(tantivy.Query.term_query(self._schema, f"body_{language}", term, "freq"))
        if not clauses:
            return []
        query = tantivy.Query.boolean_query([(tantivy.Occur.Should, clause) for clause in clauses])
        searcher = self._index.searcher()
        hits = [(str(searcher.doc(at)["id"][0]), float(score)) for score, at in searcher.search(query, k).hits]
        return sorted(hits, key=lambda hit: (-hit[1], hit[0]))
