"""Settings of the server, from environment variables that begin with WS_CHAT_, or from the command line."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from shared.errors import UserError
from shared.web.settings import check_ranges

PREFIX = "WS_CHAT_"
BACKENDS = ("engine", "script", "clock")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the server; each field is read from WS_CHAT_<NAME>, or from --<name>.

    Attributes:
        host: Address to listen on; by default this machine alone can reach it.
        port: TCP port; 0 takes a free one.
        origins: Addresses that pages may come from, with commas between them, for example https://chat.example; by
            default the server's own on this machine.
        proxies: Addresses of proxies whose X-Forwarded-For is believed, with commas between them.
        data: Folder of the database.
        database: URL of a database instead, for example postgresql://chat@localhost/chat.
        replicas: With 2 or more, so many servers, a Redis and an nginx with TLS are started on this machine.
        certificate: For it, a certificate; by default one is made.
        key: Its key.
        redis: URL of a Redis through which several replicas are one, for example redis://localhost:6379.
        lease: Seconds after which the conversations of a replica that is gone find another home.
        backend: engine is the local model; script repeats what it is told and clock says the time, for tests and load.
        base_url: A server that speaks OpenAI's chat protocol instead, for example http://localhost:8001/v1.
        model: Name of the model there.
        api_key: Key for it; give it in the environment, where no list of processes shows it.
        context: Tokens of prompt and answer there.
        precision: int8 or float32 weights of the local model.
        pace: Seconds between two tokens of the script.
        at_once: Answers that are written at the same time.
        waiting: Answers that may wait.
        waiting_of_one: Answers of one user that may wait.
        grace: Seconds that an answer goes on when no page shows it any more.
        drain: Seconds that running answers get when the server is told to stop.
        ping: Seconds between two pings; who answers neither of two is disconnected.
        sockets: Open sockets.
        sockets_of_one: Open sockets of one user.
        session_hours: How long a login lasts.
        logins: Failed logins that a name may have at once; one more each half minute.
        rate: Requests a second that an address may keep up.
        frames: Frames a second that a user may keep up; five times as many at once.
        blocked: File with a phrase a line that neither side may say.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    origins: str = ""
    proxies: str = ""
    data: Path = Path("runs/ws_chat/server")
    database: str = ""
    replicas: int = 1
    certificate: str = ""
    key: str = ""
    redis: str = ""
    lease: float = 6.0
    backend: str = "engine"
    base_url: str = ""
    model: str = "default"
    api_key: str = field(default="", repr=False)
    context: int = 4096
    precision: str = "int8"
    pace: float = 0.05
    at_once: int = 4
    waiting: int = 64
    waiting_of_one: int = 4
    grace: float = 20.0
    drain: float = 10.0
    ping: float = 20.0
    sockets: int = 5000
    sockets_of_one: int = 20
    session_hours: float = 168.0
    logins: int = 5
    rate: float = 10.0
    frames: float = 20.0
    blocked: Path = Path(__file__).parents[1] / "blocked.txt"

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line each."""
        for name, known in (("backend", BACKENDS), ("precision", ("int8", "float32"))):
            if getattr(self, name) not in known:
                raise UserError(
                    f"{PREFIX}{name.upper()}={getattr(self, name)}: must be {', '.join(known[:-1])} or {known[-1]}"
                )
        for origin in self.own_origins:
            if not origin.startswith(("http://", "https://")) or origin.count("/") != 2:
                raise UserError(f"{PREFIX}ORIGINS: {origin} must look like https://chat.example")
        check_ranges(
            self,
            PREFIX,
            port=(0, 65535),
            context=(1024, 2**24),
            lease=(0.1, 600),
            replicas=(1, 64),
            pace=(0, 60),
            at_once=(1, 1024),
            waiting=(1, 2**16),
            waiting_of_one=(1, 2**16),
            grace=(0, 3600),
            drain=(0, 3600),
            ping=(0.05, 3600),
            sockets=(1, 2**20),
            sockets_of_one=(1, 2**20),
            session_hours=(0, 24 * 366),
            logins=(1, 1000),
            rate=(0.1, 10_000),
            frames=(0.1, 10_000),
        )

    @property
    def own_origins(self) -> frozenset[str]:
        """Origins that were given."""
        return frozenset(filter(None, (each.strip() for each in self.origins.split(","))))

    @property
    def database_url(self) -> str:
        """Where everything is kept."""
        return self.database or f"sqlite:///{self.data / 'chat.sqlite'}"


def as_help() -> str:
    """What `--help` says: each setting with its default and its meaning."""
    said = {}
    for line in (Settings.__doc__ or "").partition("Attributes:")[2].splitlines():
        name, colon, meaning = line.strip().partition(": ")
        if colon and line.startswith(" " * 8) and not line.startswith(" " * 9):
            said[last := name] = meaning
        elif line.strip():
            said[last] += f" {line.strip()}"
    shown = [f"  --{each.name.replace('_', '-')} {each.default}\n      {said[each.name]}" for each in fields(Settings)]
    return "\n".join(["Chat until Ctrl-C. Settings, with what they are by default:", "", *shown, ""])


def as_variables(arguments: Sequence[str]) -> dict[str, str]:
    """Words of a command line, `--name value`, as the variables that they stand for.

    Raises:
        UserError: If a word is no setting, or has no value.
    """
    known = {f"--{each.name.replace('_', '-')}": PREFIX + each.name.upper() for each in fields(Settings)}
    found = {}
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name not in known:
            raise UserError(f"{name} is no setting; there are {', '.join(known)}")
        if not equals and (value := next(words, "")) == "":
            raise UserError(f"{name} needs a value")
        found[known[name]] = value
    return found
