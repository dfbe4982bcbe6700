"""Who asks: keys with a tenant and a scope, issued as `tenant:scope:name`, and what each has used.

Scopes: read asks and searches, write also changes documents, admin also sees usage and makes indexes again.
"""

import re
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from shared.errors import UserError
from shared.web.keys import ApiKeys

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}", re.ASCII)


@dataclass(frozen=True)
class Caller:
    """Whoever shows a key."""

    tenant: str
    scope: Scope
    name: str

    def may(self, scope: Scope) -> bool:
        """Whether the scope of the key includes another one."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)

    @property
    def owner(self) -> str:
        """What tokens and limits are bound to."""
        return f"{self.tenant}:{self.scope}:{self.name}"


def issue(keys: ApiKeys, tenant: str, scope: str, name: str) -> str:
    """Make a key.

    Raises:
        UserError: If the tenant, the scope or the name cannot be one.
    """
    if not TENANT.fullmatch(tenant):
        raise UserError(f"{tenant}: a tenant is of small letters, digits, - and _, at most 40")
    if scope not in SCOPES:
        raise UserError(f"{scope}: a scope is one of {', '.join(SCOPES)}")
    return keys.issue(f"{tenant}:{scope}:{name}")


def caller_of(keys: ApiKeys, key: str) -> Caller | None:
    """Whose key this is."""
    owner = keys.owner(key)
    if owner is None:
        return None
    tenant, scope, name = owner.split(":", 2)
    assert scope in SCOPES, "issued by issue()"
    return Caller(tenant, scope, name)


class Usage:
    """How often each tenant asked for what, since the process began."""

    def __init__(self) -> None:
        self._lock, self._counts = threading.Lock(), Counter[tuple[str, str]]()

    def add(self, tenant: str, what: str) -> None:
        """Count one."""
        with self._lock:
            self._counts[tenant, what] += 1

    def of(self, tenant: str) -> dict[str, int]:
        """What a tenant used."""
        with self._lock:
            return {what: count for (whose, what), count in sorted(self._counts.items()) if whose == tenant}
