"""`--replicas 2`: Redis, so many servers, and nginx with TLS before them, on this machine, until Ctrl-C.

No page is kept at one replica: nginx sends each connection to whichever has fewest.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis import Redis
from redis.exceptions import RedisError

from projects.ws_chat.server.settings import PREFIX, Settings
from shared.errors import UserError, deaf_children
from shared.web import launch

NGINX = """
daemon off; pid {folder}/nginx.pid; error_log stderr warn; worker_processes 1;
events {{ worker_connections 8192; }}
http {{
  access_log off; server_tokens off; client_max_body_size 64k; client_header_timeout 10s; client_body_timeout 10s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream replicas {{ least_conn; {upstreams} }}
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  server {{
    listen {host}:{port} ssl;
    ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
    location / {{
      proxy_pass http://replicas; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 120s;
      proxy_set_header Host $http_host; proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto https;
    }}
  }}
}}
"""


def serve_replicas(settings: Settings, given: Mapping[str, str]) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        settings: How many servers; which certificate: by default one is made that browsers ask about once.
        given: The settings of each server, as variables.

    Raises:
        UserError: If Redis or nginx is not installed, something does not start, or what all need has ended.
    """
    for program in ("redis-server", "nginx"):
        if shutil.which(program) is None:
            raise UserError(f"{program} is not installed: `apt-get install redis-server nginx`, or serve one replica")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with cluster(settings, given) as (address, servers):
        for server in servers:  # one of them has the first administrator's invitation
            sys.stderr.write("".join(line for line in server.said().splitlines(True) if "shown once" in line))
        sys.stdout.write(f"{settings.replicas} replicas on {address}\n")
        sys.stdout.flush()
        attend(servers)


def attend(servers: Sequence[launch.Running]) -> None:
    """Wait as long as Redis, nginx and a server are there; whoever is left goes on without a server that has ended.

    Raises:
        UserError: When one of them is not there any more.
    """
    left = {server.process.pid: server.process for server in servers}
    while left:
        ended_one = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        assert ended_one is not None
        if ended_one.si_pid not in left:
            raise UserError("Redis or nginx has ended, and nothing goes on without it: start again")
        left.pop(ended_one.si_pid).wait()
        sys.stderr.write(f"a replica has ended: {len(left)} left\n")
    raise UserError("every replica has ended: start again")


@contextmanager
def cluster(settings: Settings, given: Mapping[str, str]) -> Iterator[tuple[str, list[launch.Running]]]:
    """Start everything; yields the address and the servers; ends it in order."""
    with ExitStack() as stack:
        with deaf_children():  # not longer: Ctrl-C ends what is served below
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ws_chat-")))
            host, port = settings.host, settings.port or free_port()
            redis = stack.enter_context(started_redis(folder))
            origins = ",".join(f"https://{name}:{port}" for name in {"localhost", "127.0.0.1", host})
            own = {name.removeprefix(PREFIX).lower(): value for name, value in given.items() if name.startswith(PREFIX)}
            own = {name: value for name, value in own.items() if name not in ("replicas", "certificate", "key")}
            own |= {"host": "127.0.0.1", "port": "0", "redis": redis, "proxies": "127.0.0.1"}
            own = {"origins": origins, **own}
            servers = [
                stack.enter_context(launch.running("projects.ws_chat.server", PREFIX, own))
                for _ in range(settings.replicas)
            ]
            if settings.certificate:
                certificate, key = Path(settings.certificate), Path(settings.key)
            else:
                certificate, key = made_certificate(folder, host)
            text = NGINX.format(
                folder=folder,
                host=host,
                port=port,
                upstreams=" ".join(f"server {server.url.removeprefix('http://')};" for server in servers),
                certificate=certificate.resolve(),
                key=key.resolve(),
            )
            stack.enter_context(started_nginx(folder, text))
        yield f"https://{host}:{port}", servers


@contextmanager
def started_redis(folder: Path) -> Iterator[str]:
    """A Redis of our own, at a socket that nobody else can open, without files; its URL."""
    path = folder / "redis.sock"
    words = ["redis-server", "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700", "--save", ""]
    with ended([*words, "--appendonly", "no", "--dir", str(folder)], stdout=subprocess.DEVNULL) as process:
        with Redis(unix_socket_path=str(path)) as client:
            waited(process, "redis-server", client.ping)
        yield f"unix://{path}"


@contextmanager
def started_nginx(folder: Path, text: str) -> Iterator[None]:
    """Nginx with this configuration."""
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    words = ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
    with ended(words) as process:
        waited(process, "nginx", (folder / "nginx.pid").read_bytes)
        yield


@contextmanager
def ended(words: Sequence[str], **options: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended in order."""
    with subprocess.Popen(words, env={"PATH": os.environ["PATH"]}, **options) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


def waited(process: "subprocess.Popen[bytes]", name: str, answers: object, seconds: float = 20.0) -> None:
    """Wait until a program answers.

    Raises:
        UserError: If it ends, or takes too long.
    """
    assert callable(answers)
    end = time.monotonic() + seconds
    while True:
        try:
            answers()
            return
        except (RedisError, OSError):
            if process.poll() is not None or time.monotonic() > end:
                raise UserError(f"{name} did not start: its own message is above") from None
            time.sleep(0.02)


def free_port() -> int:
    """A port that nobody listens on now."""
    with launch.listening("127.0.0.1", 0) as opened:
        return int(opened.getsockname()[1])


def made_certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """A certificate of our own for this machine, good for a month, and its key, which only this user reads."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ws_chat")])
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    if host not in ("127.0.0.1", "localhost"):
        names.append(x509.DNSName(host) if any(map(str.isalpha, host)) else x509.IPAddress(ip_address(host)))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(secrets.randbits(120))
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[1].touch(0o600)
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    return paths
