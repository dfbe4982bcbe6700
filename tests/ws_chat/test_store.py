"""What is kept: each user's own, in order, found again, once, and on disk before it is acknowledged."""

import asyncio
import multiprocessing
import random
import sqlite3
from datetime import UTC, datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import IntegrityError

from projects.ws_chat.protocol import Stored
from projects.ws_chat.store import conversations as module
from projects.ws_chat.store.conversations import Conversations, around, as_markdown, fold, title_of
from projects.ws_chat.store.database import Database
from projects.ws_chat.store.interface import GoneError
from projects.ws_chat.store.schema import METADATA
from shared.errors import UserError
from tests.ws_chat.people import make_user, opened, run, said


def test_messages_come_back_as_they_were_and_in_order(url):
    async def test():
        async with opened(url) as database:
            store, ana = Conversations(database), await make_user(database, "ana")
            one = (await store.create(ana)).id
            kept = [
                said(f"message-{n}", f"text {9 - n} ñ 🙂", role) for n, role in enumerate(["user", "assistant"] * 3)
            ]
            for each in kept:
                assert await store.add(one, each)
            assert await store.messages(ana, one) == kept
            assert not await store.add(one, said("message-3", "again"))
            assert await store.remove_from(one, "message-2") == [f"message-{n}" for n in (2, 3, 4, 5)]
            assert await store.messages(ana, one) == kept[:2]

    run(test())


def test_what_is_acknowledged_is_in_the_file_for_another_connection(tmp_path):
    async def test():
        async with opened(tmp_path) as database:
            store, ana = Conversations(database), await make_user(database, "ana")
            one = (await store.create(ana)).id
            for number in range(5):
                await store.add(one, said(f"message-{number}", "text"))
                with sqlite3.connect(tmp_path / "chat.sqlite") as other:
                    assert other.execute("SELECT count(*) FROM messages").fetchone() == (number + 1,)
                other.close()

    run(test())


def test_nobody_sees_or_changes_what_is_somebody_elses(url):
    async def test():
        async with opened(url) as database:
            store = Conversations(database)
            ana, bob = await make_user(database, "ana"), await make_user(database, "bob")
            one = (await store.create(ana)).id
            await store.add(one, said("message-1", "a secret"))
            assert await store.messages(bob, one) is None and await store.named(bob, one) is None
            assert not await store.rename(bob, one, "mine") and not await store.delete(bob, one)
            assert await store.all(bob) == [] and await store.search(bob, "secret") == []
            assert (await store.named(ana, one)).title == "a secret"
            assert await store.rename(ana, one, "mine") and await store.delete(ana, one)
            assert await store.all(ana) == [] and await store.messages(ana, one) is None

    run(test())


def test_numbers_are_given_once_though_two_processes_ask(url):
    async def test():
        async with opened(url) as database, opened(url) as other:
            stores = [Conversations(database), Conversations(other)]
            one = (await stores[0].create(await make_user(database, "ana"))).id
            asked = [store.reserve(one, 10) for store in stores * 10]
            assert sorted(await asyncio.gather(*asked)) == list(range(0, 200, 10))

    run(test())


def test_writers_wait_for_one_another(url):
    async def test():
        async with opened(url) as database, opened(url) as other:
            stores = [Conversations(database), Conversations(other)]
            one = (await stores[0].create(ana := await make_user(database, "ana"))).id
            adding = [stores[n % 2].add(one, said(f"message-{n:03}", "text")) for n in range(60)]
            assert all(await asyncio.gather(*adding))
            assert len(await stores[0].messages(ana, one)) == 60

    run(test())


def test_nobody_is_sent_away_by_the_pool_however_many_come_at_once(url):
    async def test():
        async with opened(url) as database:
            database._engine.pool._timeout = 0  # of half a minute: whoever waits in the pool's own line fails
            store = Conversations(database)
            one = (await store.create(ana := await make_user(database, "ana"))).id
            reading = [store.messages(ana, one) for _ in range(100)]
            adding = [store.add(one, said(f"message-{n:03}", "text")) for n in range(50)]
            found = await asyncio.gather(*reading, *adding)
            assert all(each is not None for each in found[:100]) and all(found[100:])

    run(test())


def test_two_processes_that_keep_one_message_keep_it_once(url):
    async def test():
        async with opened(url) as database, opened(url) as other:
            stores = [Conversations(database), Conversations(other)]
            one = (await stores[0].create(ana := await make_user(database, "ana"))).id
            for number in range(20):
                adding = [store.add(one, said(f"message-{number:03}", "text")) for store in stores * 3]
                assert sum(await asyncio.gather(*adding)) == 1
            assert len(await stores[0].messages(ana, one)) == 20

    run(test())


def test_what_takes_the_place_of_a_message_comes_with_its_going_or_not_at_all(url):
    async def test():
        async with opened(url) as database:
            store, ana = Conversations(database), await make_user(database, "ana")
            one = (await store.create(ana)).id
            for number in range(4):
                await store.add(one, said(f"message-{number}", "text"))
            kept = await store.messages(ana, one)
            with pytest.raises(IntegrityError):  # its id is there already: the last step fails
                await store.remove_from(one, "message-2", said("message-1", "another"))
            with pytest.raises(GoneError):
                await store.remove_from(one, "message-9", said("message-8", "another"))
            assert await store.messages(ana, one) == kept
            new = said("message-9", "another")
            assert await store.remove_from(one, "message-2", new) == ["message-2", "message-3"]
            assert await store.messages(ana, one) == [*kept[:2], new]

    run(test())


def test_a_deleted_conversation_takes_nothing(url):
    async def test():
        async with opened(url) as database:
            store = Conversations(database)
            one = (await store.create(ana := await make_user(database, "ana"))).id
            assert await store.delete(ana, one)
            for change in (store.reserve(one, 10), store.add(one, said("message-1", "text"))):
                with pytest.raises(GoneError):
                    await change
            assert await store.remove_from(one, "message-1") == []

    run(test())


WORDS = [
    "Niño",
    "niño",
    "NINO",
    "café",
    "cafe\u0301",
    "ﬁlm",
    "film",
    "100%",
    "100x",
    "a_b",
    "axb",
    "\\",
    "straße",
    "STRASSE",
]


@pytest.mark.parametrize("seed", range(3))
def test_search_finds_what_reading_everything_finds(url, seed):
    async def test():
        source = random.Random(seed)
        async with opened(url) as database:
            store, ana = Conversations(database), await make_user(database, "ana")
            texts = {}
            for _ in range(12):
                one = (await store.create(ana)).id
                texts[one] = [" ".join(source.choices(WORDS, k=3)) for _ in range(3)]
                for place, text in enumerate(texts[one]):
                    await store.add(one, said(f"message-{place}", text))
            for wanted in WORDS:
                expected = {one for one, all_of in texts.items() if any(fold(wanted) in fold(text) for text in all_of)}
                found = await store.search(ana, wanted)
                assert {each.id for each in found} == expected
                assert all(fold(wanted) in fold(each.found) for each in found)

    run(test())


def test_a_title_is_found_and_the_last_changed_comes_first(url):
    async def test():
        async with opened(url) as database:
            store, ana = Conversations(database), await make_user(database, "ana")
            one, two = (await store.create(ana)).id, (await store.create(ana)).id
            await store.add(one, said("message-1", "x " * 100))
            assert [each.id for each in await store.all(ana)] == [one, two]
            await store.rename(ana, two, "Ópera")
            assert [each.id for each in await store.search(ana, "opera")] == [two]
            assert len((await store.named(ana, one)).title) <= module.LONGEST_TITLE

    run(test())


def test_there_is_an_end_to_conversations(url, monkeypatch):
    monkeypatch.setattr(module, "MOST_CONVERSATIONS", 2)

    async def test():
        async with opened(url) as database:
            store, ana = Conversations(database), await make_user(database, "ana")
            await store.create(ana), await store.create(ana)
            with pytest.raises(UserError, match="delete some"):
                await store.create(ana)

    run(test())


@pytest.mark.parametrize(
    ("text", "title"),
    [("hello\n  you", "hello you"), ("word " * 30, ("word " * 11).strip() + "…"), ("x" * 100, "x" * 59 + "…")],
)
def test_a_title_ends_with_a_whole_word(text, title):
    assert title_of(text) == title


def test_what_stands_around_a_find():
    text = "a" * 100 + " Ñandú " + "b" * 100
    shown = around(text, fold("ñandu"))
    assert "Ñandú" in shown and shown.startswith("…") and shown.endswith("…") and len(shown) < 140
    assert around("Ñandú", fold("nandu")) == "Ñandú"
    assert around("", "x") == ""


def test_markdown_holds_every_message():
    when = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    messages = [Stored(id="message-1", role="user", text="Why?", created=when)]
    assert as_markdown("T", messages, {"user": "You"}) == "# T\n\n## You · 2026-01-02 03:04 UTC\n\nWhy?\n"


def test_migrations_make_the_tables_that_the_code_knows(url):
    database = Database(url)
    asyncio.run(database.migrate())
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        assert set(inspect(connection).get_table_names()) == {*METADATA.tables, "alembic_version"}
        if url.startswith("sqlite"):
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    engine.dispose()


def migrate(url, barrier, results):
    barrier.wait()
    try:
        asyncio.run(Database(url).migrate())
        results.put("done")
    except BaseException as error:
        results.put(repr(error))


def test_replicas_that_start_together_migrate_once(url):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    processes = [context.Process(target=migrate, args=(url, barrier, results)) for _ in range(3)]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == ["done"] * 3
    for process in processes:
        process.join()


@pytest.mark.parametrize("url", ["", "mysql://host/name", "sqlite://", "sqlite:///:memory:", "chat.sqlite"])
def test_a_url_that_is_none_is_one_line(url):
    with pytest.raises(UserError, match="database"):
        Database(url)


def test_a_database_that_cannot_be_used_is_one_line_without_a_password(tmp_path):
    (tmp_path / "chat.sqlite").write_text("this is no database " * 100)
    with pytest.raises(UserError, match="cannot be used: file is not a database"):
        asyncio.run(Database(f"sqlite:///{tmp_path / 'chat.sqlite'}").migrate())
    refused = Database("postgresql://chat:secret@127.0.0.1:1/chat?connect_timeout=2")
    with pytest.raises(UserError) as found:
        asyncio.run(refused.migrate())
    assert "secret" not in str(found.value) and "***" in str(found.value)
