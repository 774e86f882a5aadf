"""The connection: batching, cancelled callers, and everything a server or a network can do to it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from muster.core.flow import Limit, Scope
from muster.core.ids import UnixMs
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine.limits import Limits
from muster.observe.metrics import Metrics
from muster.store import link as link_module
from muster.store import redis as redis_module
from muster.store.base import Completed, Mode, Refused, StoreFull, StoreUnavailable, Turn
from muster.store.link import FLUSH_AT, Address, Link, LinkDown, ServerError, Traffic, parse_url
from muster.store.redis import RedisStore
from muster.store.topology import locator

from tests.support.deployment import Backend
from tests.support.fake_server import OK, FakeServer, Proxy, willing
from tests.support.samples import (
    HOUR_MS,
    claim_of,
    claim_one,
    commit_of,
    committed,
    end_of,
    first_turn,
    fresh,
    new_job,
    new_tasks,
    waiting_job,
)
from tests.support.servers import Server, Servers, engine_of
from tests.support.waiting import until

SECRET = "hunter2"


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeServer]:
    async with FakeServer(tmp_path) as server:
        yield server


async def linked(fake: FakeServer, traffic: Traffic | None = None) -> Link:
    return await Link.open(Address(path=fake.path), "test", traffic)


def server_of(servers: Servers, backend: Backend) -> Server:
    assert backend != "memory"
    return servers.get(backend)


# The link alone


@pytest.mark.parametrize(("commands", "writes"), [(FLUSH_AT - 1, 1), (FLUSH_AT, 1), (50, -(-50 // FLUSH_AT))])
async def test_the_commands_of_a_tick_leave_in_few_writes(fake: FakeServer, commands: int, writes: int) -> None:
    traffic = Traffic()
    link = await linked(fake, traffic)
    fake.reads.clear()
    before = traffic.round_trips
    assert await asyncio.gather(*(link.call("SET", str(i), i) for i in range(commands))) == [b"OK"] * commands
    assert sum(fake.reads) == commands
    assert traffic.round_trips == before + writes
    link.close()


async def test_replies_come_back_to_who_asked(fake: FakeServer) -> None:
    fake.answer = lambda command: f":{command[1]}\r\n".encode() if command[0] == "ECHO" else OK
    link = await linked(fake)
    assert await asyncio.gather(*(link.call("ECHO", i) for i in range(20))) == list(range(20))
    link.close()


async def test_a_cancelled_caller_drops_only_its_own_reply(fake: FakeServer) -> None:
    fake.answer = lambda command: f":{command[1]}\r\n".encode() if command[0] == "ECHO" else OK
    link = await linked(fake)
    one, two, three = (link.call("ECHO", i) for i in range(3))
    two.cancel()
    assert (await one, await three) == (0, 2)
    assert two.cancelled()
    assert await link.call("ECHO", 7) == 7
    link.close()


async def test_an_error_is_raised_where_the_command_was_sent(fake: FakeServer) -> None:
    fake.answer = lambda command: b"-WRONGTYPE no\r\n" if command[0] == "GET" else OK
    link = await linked(fake)
    good, bad = link.call("SET", "a", 1), link.call("GET", "a")
    assert await good == b"OK"
    with pytest.raises(ServerError, match="no") as caught:
        await bad
    assert caught.value.kind == "WRONGTYPE"
    link.close()


async def test_commands_in_flight_fail_when_the_connection_is_lost(fake: FakeServer) -> None:
    fake.answer = lambda command: None if command[0] == "GET" else OK
    link = await linked(fake)
    waiting = [link.call("GET", i) for i in range(3)]
    await until(lambda: len(fake.commands) >= 4)
    fake.hang_up()
    for call in waiting:
        with pytest.raises(LinkDown):
            await call
    assert link.lost.done()
    with pytest.raises(LinkDown, match="closed"):
        await link.call("PING")


async def test_a_connection_without_answers_is_taken_for_dead(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "REPLY_TIMEOUT_S", 0.1)
    fake.answer = lambda command: None if command[0] == "GET" else OK
    link = await linked(fake)
    started_at = time.monotonic()
    with pytest.raises(LinkDown):
        await link.call("GET", "a")
    assert time.monotonic() - started_at < 3


async def test_a_server_that_does_not_keep_up_is_not_flooded(fake: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "IN_FLIGHT_MAX", 10)
    fake.answer = lambda command: None if command[0] == "GET" else OK
    link = await linked(fake)
    waiting = [link.call("GET", i) for i in range(10)]
    with pytest.raises(LinkDown, match="too many"):
        await link.call("GET", "one more")
    link.close()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_nobody_at_the_address_is_said_with_the_address(tmp_path: Path) -> None:
    with pytest.raises(LinkDown, match=r"unix:///.*nobody\.sock"):
        await Link.open(Address(path=str(tmp_path / "nobody.sock")), "test")


# Addresses and secrets


def test_urls_are_understood() -> None:
    assert parse_url("redis://h") == Address("h")
    assert parse_url("valkey://:p%40ss@h:7/3") == Address("h", 7, password="p@ss", database=3)
    assert parse_url("rediss://u:p@h") == Address("h", username="u", password="p", tls=True)
    assert parse_url("valkeys://h").tls
    assert parse_url("unix:///tmp/a%20b.sock?db=2") == Address(path="/tmp/a b.sock", database=2)


@pytest.mark.parametrize(
    "url",
    [
        f"http://:{SECRET}@h",
        f"redis://:{SECRET}@h:port",
        f"redis://:{SECRET}@h:99999",
        f"redis://:{SECRET}@h/zero",
        f"redis://:{SECRET}/more@h:1",
        f"redis://:1/{SECRET}@h:1",
        f"redis://:{SECRET}#more@h:1",
        f"redis://:1#{SECRET}@h:1",
        f"redis://:{SECRET}?more@h:1",
        f"redis://:1?{SECRET}@h:1",
        f"redis://:{SECRET}\u2100@h",
        f"redis://:{SECRET}@[h",
        f"unix:///tmp/s?db={SECRET}",
        f"redis+sentinel://u:{SECRET}/more@h:1/jobs",
        f"redis+sentinel://:{SECRET}@h:port/jobs",
        f"redis+sentinel://:{SECRET}/more@h",
        f"redis+sentinel://:{SECRET}\u2100@h/jobs",
        f"redis+sentinel://:{SECRET}@h",
    ],
)
def test_a_bad_url_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        locator(url)
    error: BaseException | None = caught.value
    while error is not None:  # a log shows causes too
        assert SECRET not in str(error)
        error = error.__cause__ if error.__suppress_context__ else error.__context__


def test_an_address_never_shows_its_password() -> None:
    address = parse_url(f"redis://user:{SECRET}@h:1/2")
    assert SECRET not in f"{address} {address!r}"


@pytest.mark.parametrize(
    "refusal", ["-WRONGPASS invalid password", f"-ERR unknown command 'AUTH', with args beginning with: '{SECRET}'"]
)
async def test_a_refused_login_is_reported_without_the_password(fake: FakeServer, refusal: str) -> None:
    fake.answer = lambda command: f"{refusal}\r\n".encode() if command[0] == "AUTH" else OK
    with pytest.raises(LinkDown, match="no connection to") as caught:
        await Link.open(Address(path=fake.path, password=SECRET), "test")
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__ if error.__suppress_context__ else error.__context__


async def test_login_and_database_come_first(fake: FakeServer) -> None:
    link = await Link.open(Address(path=fake.path, username="u", password="p", database=3), "me")
    assert fake.commands == [["AUTH", "u", "p"], ["SELECT", "3"], ["CLIENT", "SETNAME", "me"]]
    link.close()


# The store on an awkward server


@pytest.fixture
async def store_at() -> AsyncIterator[Callable[..., Any]]:
    """`await store_at(url, …)` opens a store that is closed afterwards."""
    stores: list[RedisStore] = []

    async def make(url: str, **options: Any) -> RedisStore:
        stores.append(RedisStore(url, namespace=options.pop("namespace", fresh("link")), **options))
        await stores[-1].open()
        return stores[-1]

    yield make
    for store in stores:
        await store.close()


async def test_a_store_without_server_says_so_at_once(tmp_path: Path) -> None:
    store = RedisStore(f"unix://{tmp_path}/nobody.sock", namespace="n")
    with pytest.raises(StoreUnavailable, match="nobody"):
        await store.open()
    assert not await store.ping()
    await store.close()


async def test_a_loading_server_is_waited_for(fake: FakeServer, store_at: Callable[..., Any]) -> None:
    left = [b"-LOADING dataset\r\n", b"-BUSY script\r\n"]
    store = await store_at(fake.url)
    fake.answer = lambda command: left.pop() if command[0] == "EVALSHA" and left else b"*1\r\n$2\r\nok\r\n"
    await store.register("w1", HOUR_MS, {})
    assert left == []


async def test_a_server_that_keeps_loading_is_given_up(
    fake: FakeServer, store_at: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_module, "RETRY_FOR_S", 0.2)
    store = await store_at(fake.url)
    fake.answer = lambda command: b"-LOADING dataset\r\n"
    with pytest.raises(StoreUnavailable, match="LOADING"):
        await store.register("w1", HOUR_MS, {})


async def test_an_unexpected_error_is_not_sent_again(fake: FakeServer, store_at: Callable[..., Any]) -> None:
    store = await store_at(fake.url)
    fake.answer = lambda command: b"-ERR bug in script\r\n"
    fake.commands.clear()
    with pytest.raises(ServerError, match="bug in script"):
        await store.register("w1", HOUR_MS, {})
    assert len(fake.commands) == 1


async def test_an_unresponsive_server_is_given_up_within_the_bound(
    fake: FakeServer, store_at: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "REPLY_TIMEOUT_S", 0.1)
    monkeypatch.setattr(redis_module, "RETRY_FOR_S", 0.3)
    store = await store_at(fake.url)
    fake.answer = lambda command: None if command[0] == "EVALSHA" else willing(command)
    started_at = time.monotonic()
    with pytest.raises(StoreUnavailable, match="connection"):
        await store.register("w1", HOUR_MS, {})
    assert time.monotonic() - started_at < 4


async def test_a_server_that_refuses_subscriptions_is_refused(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_module, "CONNECT_TIMEOUT_S", 0.2)
    fake.answer = lambda command: b"-NOPERM no\r\n" if command[0] == "SSUBSCRIBE" else willing(command)
    store = RedisStore(fake.url, namespace="n", replica="r1")
    with pytest.raises(StoreUnavailable, match="SSUBSCRIBE"):
        await store.open()
    await store.close()


# The store on a real server


@pytest.fixture
def own_server(tmp_path: Path, real_backend: Backend) -> Iterator[Server]:
    """A server that a test may stop, fill and start again."""
    assert real_backend != "memory"
    server = Server(engine_of(real_backend, tmp_path / "engine", appendonly=True))
    yield server
    server.stop()


async def test_calls_outlive_a_restart_of_the_server(own_server: Server, store_at: Callable[..., Any]) -> None:
    texts: list[str] = []
    reconnects: list[bool] = []
    store = await store_at(
        own_server.url,
        replica="r1",
        on_message=lambda _, text: texts.append(text),
        on_reconnect=lambda: reconnects.append(True),
    )
    job = await waiting_job(store)
    own_server.engine.stop()
    assert not await store.ping()
    submitted = asyncio.create_task(store.submit(new_job(), fresh()))
    await asyncio.sleep(0)
    own_server.engine.start()
    assert isinstance(await submitted, Turn)
    assert await store.read(job) is not None, "what was written before is still there"
    await until(lambda: len(reconnects) == 2)
    assert await store.publish("r1", "hello")
    await until(lambda: texts == ["hello"])


async def test_a_server_that_stays_away_is_reported(
    own_server: Server, store_at: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_module, "RETRY_FOR_S", 0.2)
    store = await store_at(own_server.url)
    own_server.engine.stop()
    with pytest.raises(StoreUnavailable):
        await store.submit(new_job(), fresh())


async def test_a_lost_reply_loses_nothing_and_doubles_nothing(
    servers: Servers, real_backend: Backend, tmp_path: Path, store_at: Callable[..., Any]
) -> None:
    server = server_of(servers, real_backend)
    async with Proxy(tmp_path, server.url.removeprefix("unix://")) as proxy:
        store = await store_at(proxy.url)
        proxy.lose_next_reply = True
        turn = await first_turn(store)
        proxy.lose_next_reply = True
        commit = commit_of(turn, new_tasks(0, 2))
        await committed(store, commit)
        state = await store.queue(0)
        assert (sum(state.ready.values()), sum(state.jobs.values())) == (2, 1)
        tasks = await store.claim(0, claim_of(2))
        await store.complete(end_of(tasks[0]))
        proxy.lose_next_reply = True
        done = await store.complete(end_of(tasks[1]))
        assert isinstance(done, Completed)
        assert done.turn is not None
        assert len(done.turn.items) == 2
        assert proxy.lost == 3
        await store.flush()


async def test_a_first_turn_whose_reply_was_lost_is_good_even_if_the_job_moved_on(
    servers: Servers, real_backend: Backend, store_at: Callable[..., Any]
) -> None:
    store = await store_at(server_of(servers, real_backend).url)
    new, token = new_job(), fresh()
    first = commit_of(_first_turn_of(new, token), new_tasks(0, 1), token=token)
    await store.submit(new, token, first)
    done = await store.complete(end_of(await claim_one(store)))
    assert isinstance(done, Completed)
    assert done.turn is not None
    await committed(store, commit_of(done.turn, status=JobStatus.WAITING_FOR_HUMAN, need=1))
    again = await store.submit(new, token, first)
    assert not isinstance(again, Refused)
    assert (await store.queue(0)).ready == {}
    await store.flush()


def _first_turn_of(new: Any, token: str) -> Turn:
    record = JobRecord(
        id=new.id, tenant=new.tenant, blueprint=new.blueprint, blueprint_version="1", status=JobStatus.PENDING,
        state=new.state, version=0, revision=0, wave=0, next_task=0, submission=new.submission,
        context=new.context, created_at=UnixMs(0), updated_at=UnixMs(0),
    )  # fmt: skip
    return Turn(token, record, ())


async def test_forgotten_scripts_are_loaded_again(
    servers: Servers, real_backend: Backend, store_at: Callable[..., Any]
) -> None:
    server = server_of(servers, real_backend)
    store = await store_at(server.url)
    server.client.script_flush()
    turns = await asyncio.gather(*(store.submit(new_job(), fresh()) for _ in range(5)))
    assert all(isinstance(turn, Turn) for turn in turns)
    await store.flush()


async def test_a_full_server_can_be_paused_and_limited(own_server: Server, store_at: Callable[..., Any]) -> None:
    """What helps when there is too much must not be refused because there is."""
    store = await store_at(own_server.url)
    limits = Limits(store, 1, Metrics())
    own_server.client.config_set("maxmemory", 1)
    try:
        assert (await limits.pause(Scope.TASK, "work")).limit.paused
        assert (await limits.put(Limit(Scope.GLOBAL, "*", max=1))).limit.max == 1
        assert len(await limits.all()) == 2
        await limits.resume(Scope.TASK, "work")
        await limits.drop(Limit(Scope.GLOBAL, "*"))
        assert await limits.all() == ()
    finally:
        own_server.client.config_set("maxmemory", 0)


async def test_a_full_server_takes_no_jobs_but_lets_those_it_has_end(
    own_server: Server, store_at: Callable[..., Any]
) -> None:
    store = await store_at(own_server.url)
    await waiting_job(store, 2)
    one, two = await store.claim(0, claim_of(2))
    own_server.client.config_set("maxmemory", 1)
    try:
        for call in (store.submit(new_job(), fresh()), store.register("w1", HOUR_MS, {"id": "w1"})):
            with pytest.raises(StoreFull, match="OOM"):
                await call
        await store.extend(0, "w1", HOUR_MS, [])
        await store.complete(end_of(one))
        done = await store.complete(end_of(two, mode=Mode.DELIVER))
        assert isinstance(done, Completed)
        assert done.turn is not None
        with pytest.raises(StoreFull, match="OOM"):
            await store.commit(commit_of(done.turn, new_tasks(2, 1)))
        await committed(store, commit_of(done.turn))
        await store.tick(0, "t")
        await store.queue(0)
    finally:
        own_server.client.config_set("maxmemory", 0)
    assert isinstance(await store.submit(new_job(), fresh()), Turn)


async def test_a_killed_subscriber_listens_again(
    servers: Servers, real_backend: Backend, store_at: Callable[..., Any]
) -> None:
    server = server_of(servers, real_backend)
    texts: list[str] = []
    store = await store_at(server.url, replica="r1", on_message=lambda _, text: texts.append(text))
    for client in server.client.client_list():
        if client["name"] == "muster-r1-messages":
            server.client.client_kill_filter(_id=client["id"])
    deadline = time.monotonic() + 10
    while not await store.publish("r1", "hello"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await until(lambda: "hello" in texts)
