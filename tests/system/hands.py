"""The SDK worker of the system tests: tasks `<HANDS_PREFIX>.echo` and so on. Notes every run in a file."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from muster_worker import Ctx, Permanent, Requeue, Worker

PREFIX = os.environ["HANDS_PREFIX"]
FOLDER = Path(os.environ["HANDS_FOLDER"])
worker = Worker()


def note(text: str) -> None:
    with (FOLDER / f"{PREFIX}.runs").open("a") as file:
        file.write(text + "\n")


@worker.task(f"{PREFIX}.echo")
async def echo(value: Any) -> Any:
    return value


@worker.task(f"{PREFIX}.work")
async def work(ctx: Ctx, value: Any) -> Any:
    """Takes a moment, so that something is always under way."""
    note(ctx.task_id)
    await asyncio.sleep(value.get("seconds", 0.02) if isinstance(value, dict) else 0.02)
    return value


@worker.task(f"{PREFIX}.hold")
async def hold(ctx: Ctx, value: Any) -> Any:
    """Runs until the file `<prefix>.go` is there."""
    note(ctx.task_id)
    while not (FOLDER / f"{PREFIX}.go").exists():
        await asyncio.sleep(0.02)
    return {"attempt": ctx.attempt}


@worker.task(f"{PREFIX}.talk")
async def talk(ctx: Ctx, value: dict[str, Any]) -> Any:
    """Prints `count` lines, a step around them, and waits for the file `<prefix>.go` before the last one."""
    ctx.emit("step", step={"index": 0, "name": "talking", "status": "running"})
    for i in range(value["count"] - 1):
        ctx.emit("log", text=f"line {i}")
        if i % 100 == 0:
            await asyncio.sleep(0)
    while value.get("waits") and not (FOLDER / f"{PREFIX}.go").exists():
        await asyncio.sleep(0.02)
    ctx.log.info("that was all")
    ctx.emit("step", step={"index": 0, "name": "talking", "status": "completed", "duration_seconds": 0.1})
    ctx.emit("meta", key="rows", value="3")
    return {}


@worker.task(f"{PREFIX}.scan")
async def scan(ctx: Ctx, value: dict[str, Any]) -> Any:
    """An event for each of `pages`, between lines."""
    for number in range(value["pages"]):
        ctx.emit("log", text=f"page {number}")
        ctx.event("page_done", {"number": number})
    return {}


@worker.task(f"{PREFIX}.burn")
def burn(ctx: Ctx, value: dict[str, Any]) -> Any:
    """Keeps the processor busy for a while, as a plain function."""
    note(ctx.task_id)
    until = time.monotonic() + value["seconds"]
    while time.monotonic() < until:
        sum(range(1000))
    return {"attempt": ctx.attempt}


@worker.task(f"{PREFIX}.die")
async def die(ctx: Ctx, value: Any) -> Any:
    note(ctx.task_id)
    os.kill(os.getpid(), signal.SIGKILL)


@worker.task(f"{PREFIX}.wait")
async def wait(ctx: Ctx, value: dict[str, Any]) -> Any:
    """Puts the task back until its third attempt."""
    note(ctx.task_id)
    if ctx.attempt < 3:
        raise Requeue("not yet", after=value["after"])
    return {"attempt": ctx.attempt}


@worker.task(f"{PREFIX}.permanent")
async def permanent(value: Any) -> Any:
    raise Permanent("no such customer")


@worker.task(f"{PREFIX}.keep")
async def keep(ctx: Ctx, value: dict[str, Any]) -> Any:
    """Keeps a file of so many bytes in the first attempt, a small one later."""
    note(ctx.task_id)
    path = FOLDER / f"{PREFIX}-{ctx.attempt}.bin"
    with path.open("wb") as file:
        file.truncate(value["bytes"] if ctx.attempt == 1 else 1000)
    kept = await ctx.files.upload(path, "made.bin")
    return {"size": kept.size}
