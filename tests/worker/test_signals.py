"""A worker process and its signals."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worker.fake_orchestrator import TOKEN, FakeOrchestrator, until

PROGRAM = """
import asyncio
from muster_worker import Worker
worker = Worker(slots=2, drain_timeout="20s")

@worker.task("sleep")
async def sleep(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds

worker.run()
"""


@pytest.mark.parametrize("signals", [1, 2])
async def test_sigterm_drains_and_a_second_one_stops_at_once(
    fake: FakeOrchestrator, tmp_path: Path, signals: int
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    source = str(Path(__file__).parents[2] / "worker")
    env = {**os.environ, "MUSTER_URL": fake.url, "MUSTER_WORKER_TOKEN": TOKEN, "PYTHONPATH": source}
    process = subprocess.Popen([sys.executable, str(program)], env=env)  # noqa: ASYNC220 - it returns at once
    try:
        task_id = fake.give("sleep", 0.5 if signals == 1 else 60)
        await until(lambda: fake.held == 1)
        process.send_signal(signal.SIGTERM)
        if signals == 2:
            await until(lambda: any(beat["status"] == "draining" for beat in fake.heartbeats))
            process.send_signal(signal.SIGTERM)
        result = await fake.result(task_id)
        assert await asyncio.to_thread(process.wait, 10) == 0
    finally:
        process.kill()
        process.wait()
    if signals == 1:
        assert result == {"status": "success", "data": 0.5}
    else:
        assert result["error"]["code"] == "TRANSIENT_ERROR"
