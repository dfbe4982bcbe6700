"""Whether a request comes from a page of this server's own: browsers say so, and no page of others can say it.

The Host header is not asked: a name of somebody else's that points to this machine would be in it.
"""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import Scope

SECURE = {"https", "wss"}


def is_own(scope: Scope, configured: Collection[str]) -> bool:
    """Whether the Origin header is there, once, and one of the server's, letter for letter.

    Args:
        scope: That of a request or a WebSocket.
        configured: The server's origins; if there are none, those of the address that the connection came to.
    """
    origins = Headers(scope=scope).getlist("origin")
    return len(origins) == 1 and origins[0] in (configured or addresses(scope))


def addresses(scope: Scope) -> set[str]:
    """Origins of the address at which a connection came in."""
    scheme = "https" if scope["scheme"] in SECURE else "http"
    host, port = scope.get("server") or ("127.0.0.1", None)
    names = {"127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host}
    usual = {"https": 443, "http": 80}[scheme]
    return {f"{scheme}://{name}" if port in (usual, None) else f"{scheme}://{name}:{port}" for name in names}
