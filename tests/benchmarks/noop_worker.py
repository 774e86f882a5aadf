"""The benchmark's worker: an SDK worker whose task does nothing."""

from typing import Any

from muster_worker import Worker

worker = Worker(slots=128)


@worker.task("bench.noop")
async def noop(value: dict[str, Any]) -> dict[str, Any]:
    return value


if __name__ == "__main__":
    worker.run()
