"""The worker of the log benchmark: its task prints numbered lines at a pace, each with the moment it was printed."""

import asyncio
import time
from pathlib import Path
from typing import Any

from muster_worker import Ctx, Worker

BURST_S = 0.02
LOOK_S = 0.01
PADDING = "." * 60
worker = Worker(slots=20)


@worker.task("bench.print")
async def print_lines(ctx: Ctx, value: dict[str, Any]) -> dict[str, Any]:
    """From when the file `gate` is there: `lines` lines, `per_s` of them each second, told `who` prints them."""
    who, lines, per_s, gate = value["who"], int(value["lines"]), float(value["per_s"]), Path(value["gate"])
    while not gate.exists():  # noqa: ASYNC240 - one call of the system; nothing else goes on yet
        await asyncio.sleep(LOOK_S)
    started_s, printed = time.perf_counter(), 0
    while printed < lines:
        due = min(lines, 1 + int((time.perf_counter() - started_s) * per_s))
        for number in range(printed, due):
            ctx.emit("log", text=f"{who} {number} {time.time_ns()} {PADDING}")
        printed = max(printed, due)
        await asyncio.sleep(max(BURST_S, started_s + printed / per_s - time.perf_counter()))
    return {"seconds": time.perf_counter() - started_s}


if __name__ == "__main__":
    worker.run()
