"""Settings of the server, from environment variables that begin with ONNX_SERVING_."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from projects.onnx_serving.paths import EXPORTED, GRAPHS
from shared.errors import UserError

PREFIX = "ONNX_SERVING_"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the server; each field is read from ONNX_SERVING_<NAME>.

    Attributes:
        host: Address to listen on; by default this machine alone can reach it.
        port: TCP port; 0 takes a free one.
        models: Folder that the export wrote.
        precision: int8 or float32 graphs.
        threads: Threads of each of the two models.
        batching: 1 runs what waits together, 0 one request after the other.
        rows: Requests that one batch may hold.
        budget: Padded tokens that one batch may hold; a larger request goes alone.
        waiting: Requests that may wait for each model; the next one is refused with 503.
        body: Largest body of a request, in bytes.
        prompt_tokens: Longest prompt, in tokens.
        grace: Seconds that running requests get when the server is told to stop.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    models: Path = EXPORTED
    precision: str = "int8"
    threads: int = 1
    batching: int = 1
    rows: int = 8
    budget: int = 2048
    waiting: int = 32
    body: int = 65536
    prompt_tokens: int = 512
    grace: int = 20

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line each."""
        if self.precision not in GRAPHS:
            raise UserError(f"{PREFIX}PRECISION={self.precision}: must be int8 or float32")
        for name, low, high in (
            ("port", 0, 65535),
            ("threads", 1, 256),
            ("batching", 0, 1),
            ("rows", 1, 1024),
            ("budget", 1, 2**20),
            ("waiting", 1, 2**16),
            ("body", 256, 2**26),
            ("prompt_tokens", 1, 4096),
            ("grace", 0, 3600),
        ):
            if not low <= getattr(self, name) <= high:
                raise UserError(f"{PREFIX}{name.upper()}={getattr(self, name)}: must be from {low} to {high}")


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings that the variables give, defaults for the rest.

    Raises:
        UserError: If a variable of ours is unknown, or its value does not fit.
    """
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    values: dict[str, object] = {}
    for variable in sorted(name for name in environment if name.startswith(PREFIX)):
        name = variable.removeprefix(PREFIX).lower()
        if name not in fields:
            known = ", ".join(PREFIX + field.upper() for field in fields)
            raise UserError(f"{variable} is no setting; there are {known}")
        values[name] = _read(variable, environment[variable], type(fields[name].default))
    return Settings(**values)  # type: ignore[arg-type]  # _read gives each field's own type


def _read(variable: str, text: str, kind: type) -> object:
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise UserError(f"{variable}={text}: must be a whole number") from None
    return Path(text) if issubclass(kind, Path) else text
