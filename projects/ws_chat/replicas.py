"""Several replicas of the server as one: any page may be at any of them, and a conversation is at home at one.

The home of a conversation holds its lease in Redis, and is the only one that changes it: its hub numbers the events and
writes the answer. The others pass on what their pages ask, and get back what their pages are shown. Each replica has
one stream in Redis, in which all that others have for it lies in order: so no event can overtake another, and the
answer to a subscription and the events after it need nothing to join them. When a home is gone its lease ends, another
replica takes it, and subscribes every page again after the last number that it was shown.
"""

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pydantic import TypeAdapter
from redis.exceptions import RedisError

from projects.ws_chat import protocol
from projects.ws_chat.hub import Hub
from projects.ws_chat.live import Listen
from projects.ws_chat.protocol import Shown
from projects.ws_chat.refusals import RefusedError
from projects.ws_chat.subscription import Subscription, nobody
from projects.ws_chat.wires import PREFIX, Wires
from shared.errors import UserError

TRIES = 12
SHOWN: TypeAdapter[Shown] = TypeAdapter(Shown)
RENEW = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0"
RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


class MovedError(Exception):
    """The one who was asked is not the home, or does not answer."""


class Relay:
    """A hub that is one of several.

    Args:
        hub: This replica's own.
        url: Where Redis is.
        lease: Seconds after which the conversations of a replica that is gone find another home.
        notice: Told what concerns every replica: a session that ended, a title that changed.

    Raises:
        UserError: If it is no URL of Redis.
    """

    def __init__(
        self, hub: Hub, url: str, *, lease: float = 6.0, notice: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> None:
        self.hub, self.lease, self.notice = hub, lease, notice
        self.id = secrets.token_urlsafe(9)
        self._wires = Wires(url, self.id, pause=lease / 6)
        self._redis = self._wires.redis
        self._subscriptions: dict[tuple[str, Listen], Subscription] = {}
        self._by_id: dict[str, Subscription] = {}
        self._guests: dict[tuple[str, str], tuple[str, Listen]] = {}  # by replica and subscription
        self._mine: set[str] = set()
        self._pins: Counter[str] = Counter()  # conversations that something is being done to here
        self._asked: dict[str, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    # ------------------------------------------------------------ life

    async def start(self) -> None:
        """Begin to read, write, and hold leases.

        Raises:
            UserError: If Redis cannot be reached.
        """
        try:
            await self._redis.set(f"{PREFIX}alive:{self.id}", 1, px=int(2000 * self.lease))
            await self._wires.start(self._take)
        except (RedisError, OSError) as error:
            raise UserError(f"Redis cannot be used: {type(error).__name__}") from None
        for work in (self._hold, self._look_for_homes):  # a home that does not answer keeps no lease from being held
            self._begin(self._keep(work))

    async def drain(self, seconds: float) -> None:
        """As the hub's: what is passed on to others goes on meanwhile."""
        await self.hub.drain(seconds)

    async def close(self) -> None:
        """End answers, give every lease back, and let go of Redis."""
        await self.hub.close()
        self._closed = True  # redis-py may swallow a cancellation
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(2):
                await self._wires.flush()  # the last events of answers that ended here
                for conversation in self._mine:
                    await self._redis.eval(RELEASE, 1, self._lease_of(conversation), self.id)
                await self._redis.delete(f"{PREFIX}alive:{self.id}")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._wires.close()

    def tell_all(self, **told: str) -> None:
        """Let every replica, this one too, have a notice."""
        self._wires.send("all", kind="notice", told=json.dumps(told))

    # ------------------------------------------------------------ as a hub

    async def subscribe(self, user: str, conversation: str, after: int, listen: Listen) -> None:
        """As the hub's."""
        self.unsubscribe(conversation, listen)
        mine = Subscription(user, conversation, listen, after)
        self._subscriptions[conversation, listen] = self._by_id[mine.id] = mine
        try:
            await self._attach(mine)
        except BaseException:  # a page that leaves meanwhile cancels this: nothing of it may stay
            self._forget_subscription(mine)
            raise

    def unsubscribe(self, conversation: str, listen: Listen) -> None:
        """As the hub's."""
        if (mine := self._subscriptions.get((conversation, listen))) is not None:
            self._forget_subscription(mine)
            self._leave(mine)

    def typing(self, user: str, conversation: str, listen: Listen) -> None:
        """As the hub's."""
        mine = self._subscriptions.get((conversation, listen))
        if mine is not None and mine.home == self.id:
            self.hub.typing(user, conversation, mine)
        elif mine is not None:
            given = json.dumps([user, conversation, mine.id])
            self._wires.send(mine.home, kind="ask", call="", op="typing", given=given)

    async def message(self, user: str, conversation: str, identity: str, text: str) -> None:
        """As the hub's."""
        await self._do("message", user, conversation, identity, text)

    async def edit(self, user: str, conversation: str, identity: str, message: str, text: str) -> None:
        """As the hub's."""
        await self._do("edit", user, conversation, identity, message, text)

    async def regenerate(self, user: str, conversation: str, identity: str) -> None:
        """As the hub's."""
        await self._do("regenerate", user, conversation, identity)

    async def stop(self, user: str, conversation: str) -> None:
        """As the hub's."""
        await self._do("stop", user, conversation)

    async def forget(self, conversation: str) -> None:
        """As the hub's."""
        await self._do("forget", "", conversation)

    # ------------------------------------------------------------ where a conversation is

    def _lease_of(self, conversation: str) -> str:
        return f"{PREFIX}home:{conversation}"

    async def _home(self, conversation: str) -> str:
        """Who has the lease; whoever asks gets it if nobody has."""
        key = self._lease_of(conversation)
        for _ in range(2):
            if await self._redis.set(key, self.id, nx=True, px=int(1000 * self.lease)):
                self._mine.add(conversation)
                return self.id
            home = await self._redis.get(key)
            if home == self.id and conversation not in self._mine:
                raise MovedError  # it is being given back: in a moment anybody can have it
            if home is not None:
                return str(home)
        raise MovedError

    async def _do(self, op: str, user: str, conversation: str, *given: Any) -> str:
        """Do something where the conversation is at home; where that was."""
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(self.lease / 4)  # for the lease of a home that is gone
            with suppress(MovedError):
                home = await self._home(conversation)
                if home == self.id:
                    mine = (given[0], self._by_id.get(given[1], nobody)) if op == "subscribe" else given
                    await self._here(op, user, conversation, *mine)
                else:
                    await self._ask(home, op, user, conversation, *given)
                return home
        raise RefusedError("full", "the replica of this conversation does not answer: try again in some seconds")

    async def _here(self, op: str, user: str, conversation: str, *given: Any) -> None:
        with self._needed(conversation):
            if op == "forget":
                await self.hub.forget(conversation)
            elif op == "subscribe":
                await self.hub.subscribe(user, conversation, given[0], given[1])
            else:
                await getattr(self.hub, op)(user, conversation, *given)

    @contextmanager
    def _needed(self, conversation: str) -> Iterator[None]:
        """The lease is not given back meanwhile, though the hub may not have opened the conversation yet."""
        self._pins[conversation] += 1
        try:
            yield
        finally:
            self._pins[conversation] -= 1
            if not self._pins[conversation]:
                del self._pins[conversation]

    async def _attach(self, mine: Subscription) -> None:
        mine.home = await self._do("subscribe", mine.user, mine.conversation, mine.seq, mine.id)
        if mine.id not in self._by_id:  # the page has left meanwhile
            self.hub.unsubscribe(mine.conversation, nobody)
            self._leave(mine)

    def _leave(self, mine: Subscription) -> None:
        self.hub.unsubscribe(mine.conversation, mine)
        if mine.home not in ("", self.id):
            self._wires.send(mine.home, kind="ask", call="", op="unsubscribe", given=json.dumps([mine.id]))

    def _forget_subscription(self, mine: Subscription) -> None:
        self._by_id.pop(mine.id, None)
        self._subscriptions.pop((mine.conversation, mine.listen), None)

    # ------------------------------------------------------------ with the other replicas

    async def _ask(self, home: str, op: str, *given: Any) -> None:
        call = secrets.token_urlsafe(9)
        answered = self._asked[call] = asyncio.get_running_loop().create_future()
        try:
            self._wires.send(home, kind="ask", call=call, op=op, given=json.dumps(given))
            async with asyncio.timeout(self.lease):
                await answered
        except TimeoutError:
            raise MovedError from None
        finally:
            del self._asked[call]

    async def _serve(self, asker: str, call: str, op: str, given: list[Any]) -> None:
        """What another replica's page asks of a conversation that is at home here."""
        try:
            await self._guest(asker, op, *given)
            outcome = {"code": "", "detail": ""}
        except RefusedError as refused:
            outcome = {"code": refused.code, "detail": str(refused)}
        except MovedError:
            outcome = {"code": "moved", "detail": ""}
        if call:
            self._wires.send(asker, kind="answer", call=call, **outcome)

    async def _guest(self, asker: str, op: str, *given: Any) -> None:
        if op == "unsubscribe":
            self.hub.unsubscribe(*self._guests.pop((asker, given[0]), ("", nobody)))
            return
        user, conversation, *more = given
        if op == "typing":
            self.hub.typing(user, conversation, self._guests.get((asker, more[0]), ("", nobody))[1])
            return
        if conversation not in self._mine:
            raise MovedError
        if op == "subscribe":
            after, identity = more

            def listen(frame: Shown) -> None:
                self._wires.send(asker, kind="frame", subscription=identity, frame=frame.model_dump_json())

            before = self._guests.get((asker, identity))
            self._guests[asker, identity] = (conversation, listen)
            if before is not None:  # asked again, since the answer was late
                self.hub.unsubscribe(*before)
            await self._here("subscribe", user, conversation, after, listen)
            if self._guests.get((asker, identity)) != (conversation, listen):  # it has left meanwhile
                self.hub.unsubscribe(conversation, listen)
        elif op in ("message", "edit", "regenerate", "stop", "forget"):
            await self._here(op, user, conversation, *more)

    def _take(self, entry: dict[str, str]) -> None:
        kind = entry["kind"]
        if kind == "frame" and (mine := self._by_id.get(entry["subscription"])) is not None:
            mine(SHOWN.validate_json(entry["frame"]))
        elif kind == "notice":
            self.notice(json.loads(entry["told"]))
        elif kind == "ask":
            self._begin(self._serve(entry["from"], entry["call"], entry["op"], json.loads(entry["given"])))
        elif kind == "answer" and (asked := self._asked.get(entry["call"])) is not None and not asked.done():
            if entry["code"] == "moved":
                asked.set_exception(MovedError())
            elif entry["code"]:
                asked.set_exception(RefusedError(entry["code"], entry["detail"]))  # type: ignore[arg-type]
            else:
                asked.set_result(None)

    # ------------------------------------------------------------ what goes on all the time

    def _begin(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self, work: Callable[[], Awaitable[None]]) -> None:
        while not self._closed:
            await asyncio.sleep(self.lease / 3)
            try:
                await work()
            except Exception as error:  # Redis or the store: both may come back
                await self._wires.failed(error)

    async def look_after(self) -> None:
        """Once: hold what is at home here, and see to what others have left behind."""
        await self._hold()
        await self._look_for_homes()

    async def _hold(self) -> None:
        """Say that this replica is alive, and hold its leases."""
        await self._redis.set(f"{PREFIX}alive:{self.id}", 1, px=int(2000 * self.lease))
        await self._wires.keep(int(10_000 * self.lease))
        await self._renew()
        await self._look_after_guests()

    async def _renew(self) -> None:
        """Hold the leases of what is open here; give back the others; let go of what somebody else has taken."""
        for conversation in tuple(self._mine):
            needed = self.hub.is_open(conversation) or conversation in self._pins
            if not needed:
                self._mine.discard(conversation)  # first, so that nothing begins here while it is given back
            given = [self.id, str(int(1000 * self.lease))] if needed else [self.id]
            held = await self._redis.eval(RENEW if needed else RELEASE, 1, self._lease_of(conversation), *given)
            if needed and not held:
                self._mine.discard(conversation)
        for conversation in self.hub.open_ones() - self._mine - self._pins.keys():
            self.hub.abandon(conversation)

    async def _look_after_guests(self) -> None:
        """Pages of a replica that is gone do not listen any more."""
        askers = {asker for asker, _ in self._guests}
        alive = {asker: await self._redis.exists(f"{PREFIX}alive:{asker}") for asker in askers}
        for (asker, identity), (conversation, listen) in tuple(self._guests.items()):
            if not alive.get(asker, True):
                del self._guests[asker, identity]
                self.hub.unsubscribe(conversation, listen)

    async def _look_for_homes(self) -> None:
        """Subscribe pages again whose conversation is not any more where it was."""
        for mine in tuple(self._by_id.values()):
            if mine.home and await self._redis.get(self._lease_of(mine.conversation)) != mine.home:
                try:
                    await self._attach(mine)
                except RefusedError:
                    self._forget_subscription(mine)
                    mine.listen(protocol.Changed(conversation=mine.conversation))
