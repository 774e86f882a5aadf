"""A process of the log benchmark that follows one job, once or over many sockets, and says what came.

It prints a line as soon as it follows, and at the end one line of JSON.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp
import orjson
from muster_worker import Client

READ_BYTES = 256 * 1024
CONNECTING = 50
"""Sockets that are opened at a time."""
DATA = b"data: "


@dataclass
class Seen:
    """What one follower was told. `missing` lines were announced as such; `disorder` are repeated or left out."""

    lines: int = 0
    missing: int = 0
    disorder: int = 0
    ended: bool = False
    delays_ms: list[float] = field(default_factory=list[float])
    """From printed to received, in the order of coming."""
    first_printed_s: float = float("inf")
    last_received_s: float = 0.0
    expected: dict[str, int] = field(default_factory=dict[str, int])

    def line(self, text: str, now_ns: int) -> None:
        who, number, printed_ns, _ = text.split(" ", 3)
        self.disorder += int(number) != self.expected.get(who, 0)
        self.expected[who] = int(number) + 1
        self.lines += 1
        self.delays_ms.append((now_ns - int(printed_ns)) / 1e6)
        self.first_printed_s = min(self.first_printed_s, int(printed_ns) / 1e9)
        self.last_received_s = now_ns / 1e9

    def take(self, item: dict[str, Any], now_ns: int) -> None:
        """A line as the native API tells it."""
        if item["dropped"]:
            self.missing += int(item["dropped"])
        else:
            self.line(item["text"], now_ns)


Ready = Callable[[], Awaitable[None]]


async def follow_stream(url: str, token: str, job: str, ready: Ready) -> Seen:
    """Server-sent events, read as they come."""
    seen, rest = Seen(), b""
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(headers={"X-Client-Token": token}, timeout=timeout) as session,
        session.get(f"{url}/api/v1/jobs/{job}/logs?follow", read_bufsize=READ_BYTES) as answer,
    ):
        answer.raise_for_status()
        await ready()
        async for block in answer.content.iter_any():
            now_ns = time.time_ns()
            *events, rest = (rest + block).split(b"\n\n")
            for event in events:
                told = orjson.loads(event.rpartition(DATA)[2]) if DATA in event else {}
                if "text" in told:
                    seen.take(told, now_ns)
                elif "dropped" in told:
                    seen.missing += told["dropped"]
                seen.ended = "status" in told
    return seen


async def follow_with_sdk(url: str, token: str, job: str, ready: Ready) -> Seen:
    """As a program does that uses the client."""
    seen = Seen()
    async with Client(url, token) as client, aclosing(client.follow_logs(job)) as lines:
        await ready()
        async for line in lines:
            seen.take({"text": line.text, "dropped": line.dropped}, time.time_ns())
    seen.ended = True
    return seen


async def follow_socket(session: aiohttp.ClientSession, url: str, opened: Callable[[], None]) -> Seen:
    """The frames of the native socket (many lines each) or of the `executions` surface (one each)."""
    seen = Seen()
    async with session.ws_connect(url, heartbeat=None, max_msg_size=0) as socket:
        opened()
        async for frame in socket:
            now_ns = time.time_ns()
            told = orjson.loads(frame.data)
            match told["type"]:
                case "lines":
                    for item in told["items"]:
                        seen.take(item, now_ns)
                case "log":
                    seen.line(told["message"], now_ns)
                case "dropped":
                    seen.missing += told["dropped"]
                case "end" | "complete":
                    seen.ended = True
    return seen


async def follow_sockets(url: str, token: str, count: int, ready: Ready) -> list[Seen]:
    opened, left, is_open = asyncio.Semaphore(CONNECTING), count, asyncio.Event()

    def one_opened() -> None:
        nonlocal left
        left -= 1
        opened.release()
        if not left:
            is_open.set()

    async def one() -> Seen:
        await opened.acquire()
        return await follow_socket(session, url, one_opened)

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers={"X-Client-Token": token}, connector=connector) as session:
        following = [asyncio.ensure_future(one()) for _ in range(count)]
        waiting = asyncio.ensure_future(is_open.wait())
        await asyncio.wait([*following, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        await ready()
        return list(await asyncio.gather(*following))


async def main(kind: str, url: str, token: str, job: str, count: int) -> dict[str, Any]:
    started_s = 0.0

    async def ready() -> None:
        nonlocal started_s
        started_s = time.process_time()
        print("following", flush=True)

    if kind == "stream":
        found = [await follow_stream(url, token, job, ready)]
    elif kind == "sdk":
        found = [await follow_with_sdk(url, token, job, ready)]
    else:
        path = f"/api/v1/jobs/{job}/logs/socket" if kind == "socket" else f"/ws/executions/{job}/logs"
        found = await follow_sockets(url.replace("http", "ws", 1) + path, token, count, ready)
    return {"cpu_s": time.process_time() - started_s, "seen": [asdict(seen) for seen in found]}


if __name__ == "__main__":
    _, what, server, key, followed, number = sys.argv
    print(orjson.dumps(asyncio.run(main(what, server, key, followed, int(number)))).decode())
