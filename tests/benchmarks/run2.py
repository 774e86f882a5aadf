"""`make bench`: the bars of the product, measured on this machine. Prints ratios and CPU per unit, fails on lost jobs.

Everything shares the machine: client, orchestrator, worker and store are separate processes, and the CPU of each is
read from /proc. Rates are medians with minimum and maximum over the rounds of one run. Bars are printed, not asserted.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson

from muster.embedded import EmbeddedEngine
from muster.store.link import Link, parse_url

HERE = Path(__file__).parent
CLIENT_TOKEN = "bench-client-token-0123456789"
WORKER_TOKEN = "bench-worker-token-0123456789"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system time of one process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


@dataclass
class System:
    """One running system and the pids whose CPU is counted."""

    url: str
    store_url: str
    pids: dict[str, int]

    def cpu(self) -> dict[str, float]:
        return {role: cpu_s(pid) for role, pid in self.pids.items()}


@contextmanager
def running(workers: int) -> Iterator[System]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        engine = stack.enter_context(EmbeddedEngine(folder / "state"))
        port = _free_port()
        url = f"http://127.0.0.1:{port}"
        env = {
            **os.environ,
            "MUSTER_REDIS_URL": engine.url,
            "MUSTER_PORT": str(port),
            "MUSTER_BLUEPRINTS": str(HERE / "flows.py"),
            "MUSTER_CLIENT_TOKEN": CLIENT_TOKEN,
            "MUSTER_GLOBAL_WORKER_TOKEN": WORKER_TOKEN,
            "MUSTER_LOG_LEVEL": "warning",
        }
        pids = {"client": os.getpid()}
        server = stack.enter_context(_process([sys.executable, "/tmp/serve2.py"], env))
        pids["orchestrator"] = server.pid
        pids["store"] = int((folder / "state" / "engine.pid").read_text()) if (folder / "state" / "engine.pid").exists() else engine.pid
        _wait_until_up(url, server)
        worker_env = {**os.environ, "MUSTER_URL": url, "MUSTER_WORKER_TOKEN": WORKER_TOKEN}
        for number in range(workers):
            worker = stack.enter_context(_process([sys.executable, str(HERE / "noop_worker.py")], worker_env))
            pids[f"worker{number or ''}"] = worker.pid
        yield System(url, engine.url, pids)


@contextmanager
def _process(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=env)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_up(url: str, server: subprocess.Popen[bytes]) -> None:
    import urllib.request

    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(url + "/readyz", timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise SystemExit("the server did not start")


async def run_job(session: aiohttp.ClientSession, url: str, flow: str, body: bytes) -> bool:
    """Submit and wait for the end in one request. Whether the job finished."""
    async with session.post(f"{url}/api/v1/jobs/{flow}", data=body, headers={"Prefer": "wait=30"}) as answer:
        job = orjson.loads(await answer.read())
        return answer.status == 200 and job["status"] == "finished"


async def latency(system: System, flow: str, count: int) -> tuple[list[float], int]:
    """One job at a time, 5 ms apart: milliseconds from submit to the finished job in hand."""
    found, lost = [], 0
    async with aiohttp.ClientSession(headers={"X-Client-Token": CLIENT_TOKEN}) as session:
        for number in range(count + 20):
            started = time.perf_counter()
            ok = await run_job(session, system.url, flow, b'{"initial_data":{"n":1}}')
            if number >= 20:
                found.append((time.perf_counter() - started) * 1000)
                lost += not ok
            await asyncio.sleep(0.005)
    return found, lost


async def throughput(system: System, flow: str, jobs: int, concurrency: int) -> tuple[float, int, dict[str, float], int]:
    """Closed loop: seconds taken, jobs not finished, CPU seconds by role, Redis commands processed."""
    left = iter(range(jobs))
    lost = 0
    connector = aiohttp.TCPConnector(limit=0)
    link = await Link.open(parse_url(system.store_url), "bench")
    async with aiohttp.ClientSession(headers={"X-Client-Token": CLIENT_TOKEN}, connector=connector) as session:

        async def client() -> None:
            nonlocal lost
            for _ in left:
                lost += not await run_job(session, system.url, flow, b'{"initial_data":{"n":1}}')

        before, commands, started = system.cpu(), await _scripts(link), time.perf_counter()
        await asyncio.gather(*(client() for _ in range(concurrency)))
        seconds = time.perf_counter() - started
        after, commands_after = system.cpu(), await _scripts(link)
    link.close()
    return seconds, lost, {role: after[role] - before[role] for role in after}, commands_after - commands


async def _scripts(link: Link) -> int:
    """Commands the clients of the store sent: scripts and plain ones, without what scripts call themselves."""
    stats = (await link.call("INFO", "commandstats")).decode()
    total = 0
    for line in stats.splitlines():
        if line.startswith("cmdstat_evalsha:"):
            total += int(line.split("calls=")[1].split(",")[0])
    return total


def spread(values: list[float], digits: int = 1) -> str:
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}..{max(values):.{digits}f}]"


async def main(arguments: argparse.Namespace) -> int:
    lost_in_all = 0
    with running(arguments.workers) as system:
        await asyncio.sleep(1.0)
        for flow, bar in (("one_step", 4), ("three_steps", 9)):
            found, lost = await latency(system, flow, arguments.latency)
            lost_in_all += lost
            found.sort()
            p50, p99 = found[len(found) // 2], found[int(len(found) * 0.99)]
            print(f"idle {flow:12} p50 {p50:.2f} ms  p99 {p99:.2f} ms  [{found[0]:.2f}..{found[-1]:.2f}]  lost {lost}  bar p50 <= {bar} ms")
        rates, per_step = [], []
        for _ in range(arguments.rounds):
            seconds, lost, cpu, commands = await throughput(system, "three_steps", arguments.jobs, 100)
            lost_in_all += lost
            steps = arguments.jobs * 3
            rates.append(steps / seconds)
            per_step.append(commands / steps)
            each = "  ".join(f"{role} {value / steps * 1e6:.0f}" for role, value in cpu.items())
            cores = "  ".join(f"{role} {value / seconds:.2f}" for role, value in cpu.items())
            print(f"three_steps c=100: {steps / seconds:.0f} steps/s  lost {lost}  CPU us/step: {each}  cores: {cores}")
        print(f"steps/s {spread(rates, 0)}  bar >= 1500")
        print(f"Redis round trips per step {spread(per_step, 2)}  bar <= 2.2 (submit, wait and end of the job included)")
    print(f"jobs lost: {lost_in_all}")
    return 1 if lost_in_all else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency", type=int, default=300)
    parser.add_argument("--workers", type=int, default=1)
    sys.exit(asyncio.run(main(parser.parse_args())))
