"""API keys: what is kept cannot be used, what is revoked no longer, and processes agree."""

import json
import stat
from multiprocessing import get_context

import pytest

from shared.errors import UserError
from shared.web.keys import KEY, ApiKeys


@pytest.fixture
def keys(tmp_path):
    return ApiKeys(tmp_path / "keys.json")


def test_a_key_is_recognised_and_its_file_does_not_hold_it(keys):
    key = keys.issue("Ana")
    identity, secret = KEY.fullmatch(key).groups()
    assert keys.owner(key) == "Ana" and ApiKeys(keys.path).owner(key) == "Ana"
    assert secret not in keys.path.read_text()
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    assert list(keys.all()) == [identity] and "digest" not in keys.all()[identity]


def test_everything_else_is_no_key(keys):
    key = keys.issue("Ana")
    other = keys.issue("Eva")
    mixed = key[: -len(KEY.fullmatch(key).group(2))] + KEY.fullmatch(other).group(2)
    digest = json.loads(keys.path.read_text())[KEY.fullmatch(key).group(1)]["digest"]
    wrong = ["", key[:-1], key + "A", key.upper(), mixed, digest, "cc0c2_00000000_" + "A" * 43, key + "\n", "\ud800"]
    assert [keys.owner(each) for each in wrong] == [None] * len(wrong)


def test_a_revoked_key_is_refused_by_every_process_at_once(keys):
    key, other = keys.issue("Ana"), ApiKeys(keys.path)
    assert other.owner(key) == "Ana"
    keys.revoke(KEY.fullmatch(key).group(1))
    assert keys.owner(key) is None and other.owner(key) is None
    with pytest.raises(UserError, match="has no key deadbeef"):
        keys.revoke("deadbeef")


@pytest.mark.parametrize("name", ["", "x" * 101])
def test_names_are_bounded(keys, name):
    with pytest.raises(UserError, match="1 to 100 characters"):
        keys.issue(name)


def _issue(path, number):
    ApiKeys(path).issue(f"process {number}")


def test_processes_that_issue_at_once_lose_no_key(keys):
    context = get_context("fork")
    workers = [context.Process(target=_issue, args=(keys.path, number)) for number in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(entry["name"] for entry in keys.all().values()) == [f"process {number}" for number in range(6)]


def test_a_damaged_file_is_one_line(keys):
    keys.path.write_text("{")
    with pytest.raises(UserError, match="cannot be read as JSON"):
        keys.owner("cc0c2_00000000_" + "A" * 43)
