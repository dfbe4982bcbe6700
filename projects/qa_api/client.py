"""A typed client of the service, for programs: `Client("http://127.0.0.1:8000", key).ask("What is a mole?")`."""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import httpx

from projects.qa_api.server import schemas


class ServiceError(Exception):
    """The service refused: its status and what it says."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status, self.detail = status, detail


class Client:
    """Requests with a key.

    Args:
        address: Where the server is.
        key: As the server issued it.
    """

    def __init__(self, address: str, key: str, *, seconds: float = 30.0) -> None:
        self._http = httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=seconds)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._http.close()

    def ask(self, question: str, language: schemas.Language | None = None) -> schemas.Answer:
        """An answer.

        Raises:
            ServiceError: If the service refuses.
        """
        return schemas.Answer(**self._json("POST", "/v1/ask", {"question": question, "language": language}))

    def ask_many(self, questions: Sequence[str]) -> list[schemas.Answer]:
        """An answer a question, at most 20 at once."""
        told = {"questions": [{"question": each} for each in questions]}
        return schemas.Answers(**self._json("POST", "/v1/ask/batch", told)).answers

    def feedback(self, answer: schemas.Answer, *, right: bool) -> None:
        """Say whether an answer was right."""
        self._json("POST", "/v1/feedback", {"answer": answer.id, "right": right})

    def usage(self) -> schemas.Usage:
        """What the tenant has and used; for a key of scope admin."""
        return schemas.Usage(**self._json("GET", "/v1/usage"))

    def choose(self, answer: schemas.Answer, document: str) -> schemas.Answer:
        """The answer to a question back."""
        told = {"question": "", "token": answer.token, "document": document}
        return schemas.Answer(**self._json("POST", "/v1/ask", told))

    def search(self, text: str, k: int = 10) -> list[schemas.Hit]:
        """Documents, best first."""
        return schemas.Hits(**self._json("GET", "/v1/search", params={"q": text, "k": k})).hits

    def put(self, identity: str, document: schemas.Document, *, if_match: str | None = None) -> schemas.Kept:
        """Put a document; with an ETag only if it is still that one."""
        headers = {"If-Match": f'"{if_match}"'} if if_match else {}
        return schemas.Kept(**self._json("PUT", f"/v1/documents/{identity}", document.model_dump(), headers=headers))

    def put_many(self, documents: Sequence[schemas.Named]) -> Iterator[schemas.Item]:
        """Put many, a hundred a request."""
        for start in range(0, len(documents), 100):
            told = {"documents": [each.model_dump() for each in documents[start : start + 100]]}
            yield from schemas.Items(**self._json("POST", "/v1/documents", told)).items

    def remove(self, identity: str) -> None:
        """Take a document out."""
        self._json("DELETE", f"/v1/documents/{identity}")

    def _json(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = self._http.request(method, path, json=body, **more)
        told = answer.json()
        if answer.is_error:
            raise ServiceError(answer.status_code, str(told.get("detail") or told.get("title")))
        return told
