"""Who comes in, with what, for how long; and what of it is kept."""

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher

from projects.ws_chat.store.accounts import Account, Accounts, digest
from shared.errors import UserError
from tests.ws_chat.people import HASHER, PASSWORD, opened, run, said


class Clock:
    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.now


def of(database, **options):
    return Accounts(database, hasher=HASHER, **options)


def test_the_first_administrator_is_invited_once(url):
    async def test():
        async with opened(url) as database:
            accounts = of(database)
            code = await accounts.first_invitation()
            assert await accounts.first_invitation() is None  # it was shown, and holds
            account = await accounts.register(code, "Ana", PASSWORD)
            assert account.admin and account.name == "Ana"
            assert await accounts.first_invitation() is None  # there is an administrator
            with pytest.raises(UserError, match="does not hold"):
                await accounts.register(code, "Bob", PASSWORD)

    run(test())


def test_a_first_invitation_that_nobody_used_in_time_is_made_again(url):
    async def test():
        async with opened(url) as database:
            clock = Clock()
            accounts = of(database, clock=clock)
            old = await accounts.first_invitation()
            clock.now += timedelta(days=8)
            with pytest.raises(UserError, match="does not hold"):
                await accounts.register(old, "Ana", PASSWORD)
            assert (await accounts.register(await accounts.first_invitation(), "Ana", PASSWORD)).admin

    run(test())


def test_two_processes_that_begin_together_invite_the_first_administrator_once(url):
    async def test():
        async with opened(url) as database, opened(url) as other:
            both = [Accounts(each, hasher=HASHER) for each in (database, other)]
            codes = await asyncio.gather(*(each.first_invitation() for each in both * 3))
            assert sum(code is not None for code in codes) == 1

    run(test())


def test_two_who_want_one_name_at_once_do_not_both_get_it(url):
    async def test():
        async with opened(url) as database, opened(url) as other:
            both = [Accounts(each, hasher=HASHER) for each in (database, other)]
            codes = [await both[0].invite() for _ in range(6)]
            registering = [both[n % 2].register(code, "ana", PASSWORD) for n, code in enumerate(codes)]
            made = await asyncio.gather(*registering, return_exceptions=True)
            refused = [str(each) for each in made if isinstance(each, Exception)]
            assert refused == ["this name is taken"] * 5

    run(test())


def test_two_who_use_one_invitation_at_once_make_one_account(url):
    async def test():
        async with opened(url) as database:
            accounts = of(database)
            code = await accounts.invite()
            made = await asyncio.gather(
                *(accounts.register(code, f"user-{n}", PASSWORD) for n in range(8)), return_exceptions=True
            )
            assert sum(isinstance(each, Account) for each in made) == 1
            assert all(isinstance(each, (Account, UserError)) for each in made)

    run(test())


@pytest.mark.parametrize(
    ("name", "password", "said"),
    [
        ("a", PASSWORD, "2 to 32"),
        ("a" * 33, PASSWORD, "2 to 32"),
        ("an a", PASSWORD, "2 to 32"),
        ("<b>x", PASSWORD, "2 to 32"),
        ("ana\u200b", PASSWORD, "2 to 32"),
        ("bob", "short", "10 to 200"),
        ("bob", "x" * 201, "10 to 200"),
        ("bob", "I am BOB, hello", "within the password"),
        ("aNa", PASSWORD, "taken"),
        ("ａｎａ", PASSWORD, "taken"),  # wide letters: NFKC
    ],
)
def test_what_is_no_name_or_password_leaves_the_invitation_unused(url, name, password, said):
    async def test():
        async with opened(url) as database:
            accounts = of(database)
            await accounts.register(await accounts.invite(), "Ana", PASSWORD)
            code = await accounts.invite()
            with pytest.raises(UserError, match=said):
                await accounts.register(code, name, password)
            await accounts.register(code, "carla", PASSWORD)

    run(test())


def test_a_password_lets_in_its_own_account_alone(url):
    async def test():
        async with opened(url) as database:
            accounts = of(database)
            ana = await accounts.register(await accounts.invite(), "Ana", PASSWORD)
            assert await accounts.check(" aNA ", PASSWORD) == ana
            assert await accounts.check("ana", PASSWORD.upper()) is None
            assert await accounts.check("ana", PASSWORD + "x" * 300) is None
            assert await accounts.check("nobody", PASSWORD) is None

    run(test())


def test_a_name_that_is_not_there_costs_a_hash_all_the_same(tmp_path, monkeypatch):
    async def test():
        async with opened(tmp_path) as database:
            accounts = of(database)
            await accounts.register(await accounts.invite(), "Ana", PASSWORD)
            asked = []
            verify = accounts._verify
            monkeypatch.setattr(accounts, "_verify", lambda *given: (asked.append(given[0]), verify(*given))[1])
            await accounts.check("nobody", "a wrong password")
            await accounts.check("ana", "a wrong password")
            assert len(asked) == 2 and all(each.startswith("$argon2id$") for each in asked)

    run(test())


def test_sessions_begin_end_and_expire(url):
    async def test():
        async with opened(url) as database:
            clock = Clock()
            accounts = of(database, clock=clock, lasting=timedelta(hours=1))
            ana = await accounts.register(await accounts.invite(), "Ana", PASSWORD)
            first, session = await accounts.begin(ana)
            assert await accounts.session(first) == session and session.account == ana
            second, _ = await accounts.begin(ana, instead_of=first)
            assert second != first and await accounts.session(first) is None  # a new one at each login
            third, other = await accounts.begin(ana)
            assert await accounts.lasting_of([digest(second), digest(third), digest(first)]) == {
                digest(second),
                digest(third),
            }
            await accounts.end(other.digest)
            assert await accounts.session(third) is None and await accounts.session(second) is not None
            clock.now += timedelta(hours=1)
            assert await accounts.session(second) is None and await accounts.lasting_of([digest(second)]) == set()
            for odd in ("", "x", "\ud800", "x" * 10_000):
                assert await accounts.session(odd) is None

    run(test())


def test_no_token_code_or_password_is_kept(tmp_path):
    async def test():
        async with opened(tmp_path) as database:
            accounts = of(database)
            code, other = await accounts.invite(), await accounts.invite()
            token, _ = await accounts.begin(await accounts.register(code, "Ana", PASSWORD))
            await database.close()
            kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
            for secret in (code, other, token, PASSWORD):
                assert secret.encode() not in kept
            assert digest(token).encode() in kept

    run(test())


def test_a_deleted_account_takes_everything_with_it(tmp_path):
    async def test():
        async with opened(tmp_path) as database:
            accounts = of(database)
            ana = await accounts.register(await accounts.invite(), "Ana", PASSWORD)
            token, _ = await accounts.begin(ana)
            from projects.ws_chat.store.conversations import Conversations

            store = Conversations(database)
            await store.add((await store.create(ana.id)).id, said("message-1", "text"))
            await accounts.delete(ana)
            assert await accounts.session(token) is None and await accounts.check("ana", PASSWORD) is None
        with sqlite3.connect(tmp_path / "chat.sqlite") as raw:
            for table in ("users", "sessions", "conversations", "messages"):
                assert raw.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
        raw.close()

    run(test())


def test_a_hash_of_older_parameters_is_made_anew_at_login(tmp_path):
    from argon2 import PasswordHasher

    async def test():
        async with opened(tmp_path) as database:
            await of(database).register(await of(database).invite(), "Ana", PASSWORD)
            newer = Accounts(database, hasher=PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
            assert await newer.check("ana", PASSWORD) is not None
        with sqlite3.connect(tmp_path / "chat.sqlite") as raw:
            assert "m=16,t=2" in raw.execute("SELECT password FROM users").fetchone()[0]
        raw.close()

    run(test())


def test_without_an_invitation_no_password_is_hashed(tmp_path):
    hashed = []

    class Counting(PasswordHasher):
        def hash(self, password, **more):
            hashed.append(password)
            return super().hash(password, **more)

    async def test():
        async with opened(tmp_path) as database:
            accounts = Accounts(database, hasher=Counting(time_cost=1, memory_cost=8, parallelism=1))
            hashed.clear()  # of the one that is verified where there is no account
            with pytest.raises(UserError, match="does not hold"):
                await accounts.register("made-up", "ana", PASSWORD)
            assert hashed == []

    run(test())
