"""Sentinel, for real: a primary, a replica and a Sentinel as processes, and the store on top of them."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from muster.core.ids import UnixMs, new_job_id
from muster.core.record import Context, Submission
from muster.embedded import die_with_parent, find_binary
from muster.store.base import NewJob, StoreUnavailable
from muster.store.link import Address, Link, LinkDown
from muster.store.redis import RedisStore
from muster.store.topology import locator

from tests.support.ports import free_port
from tests.support.waiting import eventually

WAIT_S = 30.0


class Trio:
    """`primary` and `replica` listen on TCP; the Sentinel watches the service `jobs`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._binary = find_binary("valkey")
        self.primary_port, self.replica_port, self.sentinel_port = free_port(), free_port(), free_port()
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel_port}/jobs"

    def start(self) -> None:
        self._start("primary", "--port", str(self.primary_port))
        self._start("replica", "--port", str(self.replica_port), "--replicaof", f"127.0.0.1 {self.primary_port}")
        config = self._folder / "sentinel.conf"
        config.write_text(
            f"port {self.sentinel_port}\n"
            f"sentinel monitor jobs 127.0.0.1 {self.primary_port} 1\n"
            "sentinel down-after-milliseconds jobs 500\n"
            "sentinel failover-timeout jobs 2000\n"
        )
        self._start("sentinel", str(config), "--sentinel")

    def _start(self, name: str, *arguments: str) -> None:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        common = ["--dir", str(folder), "--bind", "127.0.0.1", "--logfile", str(folder / "log")]
        storage = [] if name == "sentinel" else ["--save", "", "--repl-diskless-sync-delay", "0"]
        command = [str(self._binary), *arguments, *common, *storage]
        self._running[name] = subprocess.Popen(command, preexec_fn=die_with_parent())

    def kill(self, name: str) -> None:
        self._running[name].kill()
        self._running[name].wait()

    def stop(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Trio]:
    trio = Trio(tmp_path)
    trio.start()
    try:
        yield trio
    finally:
        trio.stop()


async def ask(port: int, *command: str) -> object:
    link = await Link.open(Address(port=port), "test")
    try:
        return await link.call(*command)
    finally:
        link.close()


async def test_the_store_follows_a_failover(trio: Trio) -> None:
    async def the_sentinel_knows_a_replica_in_step() -> bool:
        try:
            state = await ask(trio.primary_port, "INFO", "replication")
            known = await ask(trio.sentinel_port, "SENTINEL", "REPLICAS", "jobs")
        except LinkDown:
            return False
        return b"state=online" in bytes(state) and bool(known)  # type: ignore[call-overload]

    await eventually(the_sentinel_knows_a_replica_in_step, WAIT_S)
    store = RedisStore(trio.url, namespace="sentinel", replica="r1", on_message=lambda *_: None)
    await store.open()
    try:
        await store.submit(_job(), "before")
        trio.kill("primary")

        async def takes_jobs_again() -> bool:
            try:
                await store.submit(_job(), "after")
            except StoreUnavailable:
                return False
            return True

        await eventually(takes_jobs_again, WAIT_S)

        async def the_sentinel_names_it() -> bool:
            try:
                return (await locator(trio.url)()).port == trio.replica_port
            except LinkDown:
                return False  # for a moment after the failover it names nobody

        await eventually(the_sentinel_names_it, WAIT_S)
    finally:
        await store.close()


async def test_a_service_that_no_sentinel_knows_is_named(trio: Trio) -> None:
    with pytest.raises(LinkDown, match="no Sentinel knows a primary of 'other'"):
        await locator(f"redis+sentinel://127.0.0.1:{trio.sentinel_port}/other")()


@pytest.mark.parametrize("url", ["redis+sentinel://", "redis+sentinel://host", "redis+sentinel://host:x/jobs"])
def test_a_url_without_service_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="Sentinel URL"):
        locator(url)


def _job() -> NewJob:
    number = time.monotonic_ns()
    return NewJob(
        id=new_job_id(UnixMs(int(time.time() * 1000)), 0, number % 2**62),
        tenant="acme",
        blueprint="b",
        blueprint_version="1:x",
        state="start",
        submission=Submission({}),
        context=Context(),
    )
