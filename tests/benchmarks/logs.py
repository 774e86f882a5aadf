"""`make bench-logs`: lines from tasks through the server to those who follow. Fails only where a line was lost unsaid.

Store, orchestrator, workers and followers are processes of their own and share the machine. Every line carries the
moment it was printed. Measured are: many lines from 20 tasks to one follower (what came each second, CPU for a line of
each process, by how much the server's memory grew), single lines of an idle server, and one line every 100 ms to many
sockets. Bars are printed, not asserted; machines are shared and noisy, so the load is printed too.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tests.benchmarks.files import memory_mib, reset_peak
from tests.benchmarks.run import percentiles, spread
from tests.benchmarks.system import CLIENT_TOKEN, HERE, System, running

TASKS = 20
PACE_S = 0.1
"""Between two lines of the sockets' job, and of the single lines."""


@dataclass
class Report:
    """Everything measured, as printed with --json."""

    rounds: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    single: dict[str, float] = field(default_factory=dict[str, float])
    sockets: dict[str, Any] = field(default_factory=dict[str, Any])
    announced: int = 0
    """Lines that are missing, and the follower was told so."""
    lost: int = 0
    """Lines that are missing, repeated or out of order without a word."""


@dataclass
class Printing:
    """What one job printed, and what its followers saw; CPU in seconds by role."""

    printed: int
    seen: list[dict[str, Any]]
    cpu_s: dict[str, float]
    grown_mib: float

    @property
    def delays_ms(self) -> list[float]:
        return [delay for seen in self.seen for delay in seen["delays_ms"]]

    def judge(self, report: Report) -> None:
        for seen in self.seen:
            report.announced += seen["missing"]
            unsaid = self.printed - seen["lines"] - seen["missing"]
            # A notice is a gap in the numbers too; without one every gap is a loss.
            report.lost += abs(unsaid) + (0 if seen["missing"] else seen["disorder"]) + (not seen["ended"])


async def start_follower(system: System, kind: str, job: str, count: int) -> Process:
    """A process that follows now."""
    command = ["-m", "tests.benchmarks.logs_follower", kind, system.url, CLIENT_TOKEN, job, str(count)]
    follower = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=PIPE, cwd=HERE.parents[1])
    assert follower.stdout is not None
    if await follower.stdout.readline() != b"following\n":
        raise SystemExit("a follower did not come so far as to follow")
    return follower


async def print_and_follow(
    system: System, *, tasks: int, lines: int, per_s: float, followers: Sequence[tuple[str, int]]
) -> Printing:
    """One job of so many *tasks* that print *lines* each; the *followers*, by kind and number, are there before."""
    with tempfile.TemporaryDirectory() as folder:
        gate = Path(folder) / "gate"
        data = {"tasks": tasks, "lines": lines, "per_s": per_s, "gate": str(gate)}
        async with (
            aiohttp.ClientSession(headers={"X-Client-Token": CLIENT_TOKEN}) as session,
            session.post(f"{system.url}/api/v1/jobs/prints", json={"initial_data": data}) as answer,
        ):
            job = (await answer.json())["job_id"]
        started = [await start_follower(system, kind, job, count) for kind, count in followers]
        server = system.pids["orchestrator"]
        memory = memory_mib(server, "VmRSS")
        reset_peak(server)
        before = system.cpu()
        gate.touch()
        told = [orjson.loads((await follower.communicate())[0]) for follower in started]
        cpu_s = {role: used - before[role] for role, used in system.cpu().items() if role != "client"}
        cpu_s["followers"] = sum(each["cpu_s"] for each in told)
        grown_mib = memory_mib(server, "VmHWM") - memory
    return Printing(tasks * lines, [seen for each in told for seen in each["seen"]], cpu_s, grown_mib)


async def measure_rate(system: System, arguments: argparse.Namespace, report: Report) -> None:
    per_task = arguments.rate / TASKS
    load = os.getloadavg()[0]
    found = await print_and_follow(
        system,
        tasks=TASKS,
        lines=max(1, int(per_task * arguments.seconds)),
        per_s=per_task,
        followers=[(arguments.follower, 1)],
    )
    found.judge(report)
    seen = found.seen[0]
    report.rounds.append(
        {
            "lines_per_s": seen["lines"] / max(seen["last_received_s"] - seen["first_printed_s"], 1e-9),
            "cpu_us_per_line": {role: used / found.printed * 1e6 for role, used in found.cpu_s.items()},
            "delay_ms": percentiles(found.delays_ms),
            "grown_mib": found.grown_mib,
            "load": load,
        }
    )


async def measure_single(system: System, count: int, report: Report) -> None:
    """One line every 100 ms and nothing else: milliseconds from printed to received."""
    found = await print_and_follow(system, tasks=1, lines=count, per_s=1 / PACE_S, followers=[("stream", 1)])
    found.judge(report)
    report.single = {**percentiles(found.delays_ms), "first": found.delays_ms[0], "load": os.getloadavg()[0]}


async def measure_sockets(system: System, arguments: argparse.Namespace, report: Report) -> None:
    lines = max(1, int(arguments.socket_seconds / PACE_S))
    kind, half = arguments.socket_kind, arguments.sockets // 2
    found = await print_and_follow(
        system, tasks=1, lines=lines, per_s=1 / PACE_S, followers=[(kind, half), (kind, arguments.sockets - half)]
    )
    found.judge(report)
    slowest = [max(delays) for delays in zip(*(seen["delays_ms"] for seen in found.seen), strict=True)]
    report.sockets = {
        "kind": kind,
        "count": arguments.sockets,
        "each_ms": percentiles(found.delays_ms),
        "slowest_ms": percentiles(slowest),
        "cpu_us_per_line_and_socket": {
            role: used / lines / arguments.sockets * 1e6 for role, used in found.cpu_s.items()
        },
        "server_cores": found.cpu_s["orchestrator"] / arguments.socket_seconds,
        "grown_mib": found.grown_mib,
        "load": os.getloadavg()[0],
    }


def show_rate(rounds: list[dict[str, Any]], rate: int) -> None:
    print(
        f"{TASKS} tasks, {rate} lines/s asked for: {spread([r['lines_per_s'] for r in rounds], 0)} lines/s came  "
        f"bar 50000   load {spread([r['load'] for r in rounds], 1)}"
    )
    for role in rounds[0]["cpu_us_per_line"]:
        print(f"  CPU us/line {role:13} {spread([r['cpu_us_per_line'][role] for r in rounds], 2)}")
    print(f"  CPU us/line together      {spread([sum(r['cpu_us_per_line'].values()) for r in rounds], 2)}")
    for name in ("p50", "p99"):
        print(f"  printed to received {name} {spread([r['delay_ms'][name] for r in rounds], 0)} ms")
    print(f"  server memory grew by {spread([r['grown_mib'] for r in rounds], 1)} MiB")


def show_single(found: dict[str, float]) -> None:
    print(
        f"single lines, idle server: p50 {found['p50']:.1f} ms  p99 {found['p99']:.1f}  "
        f"[{found['min']:.1f}..{found['max']:.1f}]  the first {found['first']:.1f}  "
        f"bar <= 50 ms   load {found['load']:.1f}"
    )


def show_sockets(found: dict[str, Any]) -> None:
    each, slowest, frame = found["each_ms"], found["slowest_ms"], found["cpu_us_per_line_and_socket"]
    print(
        f"{found['count']} sockets ({found['kind']}), a line every {PACE_S * 1000:.0f} ms: "
        f"each p50 {each['p50']:.0f} ms  p99 {each['p99']:.0f}  max {each['max']:.0f}; "
        f"all of them p50 {slowest['p50']:.0f} ms  p99 {slowest['p99']:.0f}  bar p99 <= 200 ms   "
        f"load {found['load']:.1f}"
    )
    print(
        f"  CPU us for a line to a socket: server {frame['orchestrator']:.1f}, followers {frame['followers']:.1f}; "
        f"server memory grew by {found['grown_mib']:.1f} MiB"
    )


def show(report: Report, rate: int) -> None:
    if report.single:
        show_single(report.single)
    if report.rounds:
        show_rate(report.rounds, rate)
    if report.sockets:
        show_sockets(report.sockets)
    print(f"lines announced as missing: {report.announced}")
    print(f"lines lost without a word: {report.lost}")


async def measure(system: System, arguments: argparse.Namespace) -> Report:
    report = Report()
    await print_and_follow(system, tasks=TASKS, lines=100, per_s=100, followers=[("stream", 1)])  # warm-up
    if arguments.single:
        await measure_single(system, arguments.single, report)
    for _ in range(arguments.rounds):
        await measure_rate(system, arguments, report)
    if arguments.sockets:
        await measure_sockets(system, arguments, report)
    return report


def main(arguments: argparse.Namespace) -> int:
    with running(arguments.workers, worker=HERE / "logs_worker.py") as system:
        report = asyncio.run(measure(system, arguments))
    show(report, arguments.rate)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"cpus": os.cpu_count(), **asdict(report)}, indent=1))
    return 1 if report.lost else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=60_000, help="lines a second of all tasks together; above the bar")
    parser.add_argument("--seconds", type=float, default=5, help="of each round")
    parser.add_argument("--rounds", type=int, default=3, help="of the rate; 0 leaves it out")
    parser.add_argument("--workers", type=int, default=1, help="worker processes")
    parser.add_argument(
        "--follower", choices=("stream", "sdk"), default="stream", help="raw events or the SDK's client"
    )
    parser.add_argument("--single", type=int, default=100, help="single lines; 0 leaves them out")
    parser.add_argument("--sockets", type=int, default=1000, help="0 leaves them out")
    parser.add_argument("--socket-seconds", type=float, default=10)
    parser.add_argument("--socket-kind", choices=("socket", "executions"), default="socket")
    parser.add_argument("--json", default="", help="also write everything measured to this file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(parse()))
