"""The SDK worker of the chaos runs. Notes every run of a handler, before it begins."""

import asyncio
import os
import random
from pathlib import Path
from typing import Any

from muster_worker import Ctx, Retry, Worker

RUNS = Path(os.environ["CHAOS_RUNS"])
worker = Worker()


def note(ctx: Ctx) -> None:
    with RUNS.open("a") as file:
        file.write(f"{ctx.task_id} {ctx.attempt}\n")


@worker.task("work")
async def work(ctx: Ctx, value: Any) -> Any:
    note(ctx)
    await asyncio.sleep(random.uniform(0, 0.02))
    return value


@worker.task("flaky")
async def flaky(ctx: Ctx, value: Any) -> Any:
    note(ctx)
    if ctx.attempt == 1:
        raise Retry("not at first")
    return value
