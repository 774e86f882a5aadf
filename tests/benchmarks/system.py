"""One whole system on this machine, for measuring: store, orchestrator and workers as processes of their own."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from muster.embedded import EmbeddedEngine
from muster.store.link import Link, parse_url

HERE = Path(__file__).parent
CLIENT_TOKEN = "bench-client-token-0123456789"
WORKER_TOKEN = "bench-worker-token-0123456789"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
START_S = 60.0


def cpu_s(pid: int) -> float:
    """User and system time of one process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


@dataclass
class System:
    """`pids` are those whose CPU is counted, by role."""

    url: str
    store_url: str
    pids: dict[str, int]

    def cpu(self) -> dict[str, float]:
        return {role: cpu_s(pid) for role, pid in self.pids.items()}

    async def traffic(self) -> dict[str, float]:
        """`commands` and `round_trips` of the orchestrator so far, from its own metrics."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/_public/metrics") as answer:
            lines = (await answer.text()).splitlines()
        found = dict(line.split(" ", 1) for line in lines if line.startswith("muster_redis_"))
        return {
            "commands": float(found["muster_redis_commands_total"]),
            "round_trips": float(found["muster_redis_round_trips_total"]),
        }

    async def commands(self) -> dict[str, int]:
        """Every command that the store carried out, by name, those inside scripts included."""
        link = await Link.open(parse_url(self.store_url), "bench")
        stats = (await link.call("INFO", "commandstats")).decode()
        link.close()
        lines = [line for line in stats.splitlines() if line.startswith("cmdstat_")]
        return {line.partition(":")[0]: int(line.split("calls=")[1].split(",")[0]) for line in lines}

    async def worker_is_there(self) -> None:
        """Wait until a worker has registered, by running a job."""
        headers = {"X-Client-Token": CLIENT_TOKEN, "Prefer": "wait=20"}
        url = f"{self.url}/api/v1/jobs/one_step"
        async with aiohttp.ClientSession(headers=headers) as session, session.post(url, data=b"{}") as answer:
            if answer.status != 200:
                raise SystemExit(f"no worker answered within 20 s: {await answer.text()}")


@contextmanager
def running(workers: int, *, worker: Path = HERE / "noop_worker.py", **settings: str) -> Iterator[System]:
    """The whole of it, with so many processes of *worker*; *settings* are variables of the server."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        engine = stack.enter_context(EmbeddedEngine(folder / "state"))
        port = unused_port()
        url = f"http://127.0.0.1:{port}"
        env = {
            **os.environ,
            "MUSTER_REDIS_URL": engine.url,
            "MUSTER_PORT": str(port),
            "MUSTER_BLUEPRINTS": str(HERE / "flows.py"),
            "MUSTER_CLIENT_TOKEN": CLIENT_TOKEN,
            "MUSTER_GLOBAL_WORKER_TOKEN": WORKER_TOKEN,
            "MUSTER_LOG_LEVEL": "warning",
            **settings,
        }
        server = stack.enter_context(process([sys.executable, "-m", "muster.cli.app", "server"], env))
        assert engine.pid is not None
        pids = {"client": os.getpid(), "orchestrator": server.pid, "store": engine.pid}
        wait_until_up(f"{url}/readyz", server)
        worker_env = {**os.environ, "MUSTER_URL": url, "MUSTER_WORKER_TOKEN": WORKER_TOKEN}
        for number in range(workers):
            started = stack.enter_context(process([sys.executable, str(worker)], worker_env))
            pids[f"worker {number}" if number else "worker"] = started.pid
        yield System(url, engine.url, pids)


@contextmanager
def process(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block; *env* is added to ours."""
    started = subprocess.Popen(command, env={**os.environ, **env}, stderr=subprocess.DEVNULL)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_up(url: str, server: subprocess.Popen[bytes], *, method: str = "GET") -> None:
    """Until *url* answers well."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise SystemExit("the server did not start")
