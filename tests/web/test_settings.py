"""Settings from the environment: each field by its variable, in one line what does not fit."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.errors import UserError
from shared.web.settings import check_ranges, from_environment


@dataclass(frozen=True)
class Settings:
    host: str = "127.0.0.1"
    port: int = 8000
    rate: float = 0.5
    open: bool = False
    folder: Path = Path("a")

    def __post_init__(self):
        check_ranges(self, "X_", port=(0, 65535), rate=(0.1, 10))


def test_fields_are_read_by_kind():
    given = {"X_HOST": "::1", "X_PORT": "80", "X_RATE": "2", "X_OPEN": "1", "X_FOLDER": "b/c", "OTHER": "x"}
    assert from_environment(Settings, "X_", given) == Settings("::1", 80, 2.0, True, Path("b/c"))
    assert from_environment(Settings, "X_", {}) == Settings()


@pytest.mark.parametrize(
    ("variable", "value", "wrong"),
    [
        ("X_PORT", "eighty", "X_PORT=eighty: must be a whole number"),
        ("X_PORT", "65536", "X_PORT=65536: must be from 0 to 65535"),
        ("X_RATE", "nan", "X_RATE=nan: must be from 0.1 to 10"),
        ("X_OPEN", "yes", "X_OPEN=yes: must be 1 or 0"),
        ("X_PROT", "1", "X_PROT is no setting; there are X_HOST, X_PORT"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(variable, value, wrong):
    with pytest.raises(UserError, match=wrong):
        from_environment(Settings, "X_", {variable: value})
