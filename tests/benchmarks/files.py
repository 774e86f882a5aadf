"""`make bench-files`: a large artifact to the server and back, against a bare aiohttp handler on the same disk.

A real worker keeps the artifact, and uploads the same bytes to the bare handler with the same block size in turns; a
client fetches both. Reported: MiB/s of each as medians with minimum and maximum, their ratio, and by how much the
server's memory grew at most.
"""

import argparse
import asyncio
import re
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.benchmarks.system import CLIENT_TOKEN, HERE, System, process, running, unused_port, wait_until_up

MIB = 1024 * 1024
READ_BYTES = 256 * 1024


@dataclass
class Rates:
    """MiB/s, one value a round."""

    upload: list[float] = field(default_factory=list[float])
    bare_upload: list[float] = field(default_factory=list[float])
    download: list[float] = field(default_factory=list[float])
    bare_download: list[float] = field(default_factory=list[float])


def memory_mib(pid: int, what: str) -> float:
    """`VmRSS` (now) or `VmHWM` (the most since it was reset) of a process."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None, what
    return int(found[1]) / 1024


def reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


async def run_job(session: aiohttp.ClientSession, system: System, data: dict[str, Any]) -> dict[str, Any]:
    async with session.post(
        f"{system.url}/api/v1/jobs/keep", json={"initial_data": data}, headers={"Prefer": "wait=60"}
    ) as answer:
        job: dict[str, Any] = await answer.json()
    while job.get("status") not in {"finished", "failed", "quarantined"}:
        async with session.get(f"{system.url}/api/v1/jobs/{job['job_id']}?wait=60") as answer:
            job = await answer.json()
    if job["status"] != "finished":
        raise SystemExit(f"the transfer failed: {job['error_message']}")
    return job


async def fetch(session: aiohttp.ClientSession, url: str, size: int) -> float:
    """Seconds until the last byte; the bytes are thrown away."""
    started, got = time.perf_counter(), 0
    async with session.get(url) as answer:
        async for chunk in answer.content.iter_chunked(READ_BYTES):
            got += len(chunk)
    if got != size:
        raise SystemExit(f"{url}: {got} of {size} bytes came")
    return time.perf_counter() - started


async def one_round(session: aiohttp.ClientSession, system: System, bare: str, file: Path, rates: Rates) -> None:
    size = file.stat().st_size  # noqa: ASYNC240 - nothing else goes on
    mib = size / MIB
    job = await run_job(session, system, {"path": str(file), "url": ""})
    rates.upload.append(mib / job["result"]["seconds"])
    copied = await run_job(session, system, {"path": str(file), "url": f"{bare}/copy"})
    rates.bare_upload.append(mib / copied["result"]["seconds"])
    kept = f"{system.url}/api/v1/jobs/{job['job_id']}/artifacts/{job['result']['artifact_id']}"
    rates.download.append(mib / await fetch(session, kept, size))
    rates.bare_download.append(mib / await fetch(session, f"{bare}/copy", size))
    async with session.delete(kept) as answer:
        answer.raise_for_status()


async def measure(system: System, bare: str, file: Path, rounds: int) -> tuple[Rates, float]:
    """The rates, and by how many MiB the server's memory grew at most."""
    server, rates = system.pids["orchestrator"], Rates()
    headers = {"X-Client-Token": CLIENT_TOKEN}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=None)) as session:
        before = memory_mib(server, "VmRSS")
        reset_peak(server)
        for _ in range(rounds):
            await one_round(session, system, bare, file, rates)
        return rates, memory_mib(server, "VmHWM") - before


def show(rates: Rates, grown_mib: float, mib: int) -> None:
    for what, ours, theirs in (
        ("upload", rates.upload, rates.bare_upload),
        ("download", rates.download, rates.bare_download),
    ):
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        print(
            f"{what:8} of {mib} MiB: {spread(ours)} MiB/s, bare handler {spread(theirs)}; "
            f"ratio {statistics.median(ratios):.0%} [{min(ratios):.0%}..{max(ratios):.0%}]  bar >= 60 %"
        )
    print(f"server memory grew by {grown_mib:.1f} MiB  bar <= 32 MiB")


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} [{min(values):.0f}..{max(values):.0f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024, help="size of the file")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file, port = Path(folder) / "large.bin", unused_port()
        with file.open("wb") as target:
            block = bytes(range(256)) * (MIB // 256)
            for _ in range(arguments.mib):
                target.write(block)
        settings = {"MUSTER_FILES_DIR": f"{folder}/files", "MUSTER_TASK_TIMEOUT_SECONDS": "3600"}
        command = [sys.executable, str(HERE / "bare_copy.py"), str(port), folder]
        with running(1, worker=HERE / "files_worker.py", **settings) as system, process(command, {}) as bare:
            wait_until_up(f"http://127.0.0.1:{port}/large.bin", bare, method="HEAD")
            found = asyncio.run(measure(system, f"http://127.0.0.1:{port}", file, arguments.rounds))
    show(*found, arguments.mib)


if __name__ == "__main__":
    main()
