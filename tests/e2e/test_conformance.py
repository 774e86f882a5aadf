"""`make conformance-server`: ready when it says so, two tenants, export lines alone on stdout, nothing left behind."""

import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.machine import Machine, free_port


@pytest.fixture
def server(machine: Machine) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    running = machine.start("-m", "muster.cli.conformance", MUSTER_PORT=str(free_port()), MUSTER_NAMESPACE="else")
    assert running.stdout is not None
    lines = [running.stdout.readline().strip() for _ in range(4)]
    assert all(line.startswith("export MUSTER_") for line in lines), lines
    yield running, dict(line.removeprefix("export ").split("=", 1) for line in lines)
    running.terminate()
    rest, _ = running.communicate(timeout=20)
    assert rest == ""


def ask(url: str, token: str, method: str = "GET", body: bytes | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(url, body, {"X-Client-Token": token}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def test_it_is_ready_when_it_says_so_and_has_two_tenants(
    server: tuple[subprocess.Popen[str], dict[str, str]],
) -> None:
    _, given = server
    assert set(given) == {"MUSTER_URL", "MUSTER_CLIENT_TOKEN", "MUSTER_CLIENT_TOKEN_2", "MUSTER_WORKER_TOKEN"}
    jobs = f"{given['MUSTER_URL']}/api/v1/jobs"
    status, accepted = ask(f"{jobs}/simple_flow", given["MUSTER_CLIENT_TOKEN"], "POST", b"{}")
    assert (status, accepted["status"]) == (202, "accepted")
    assert ask(f"{jobs}/{accepted['job_id']}", given["MUSTER_CLIENT_TOKEN"])[0] == 200
    assert ask(f"{jobs}/{accepted['job_id']}", given["MUSTER_CLIENT_TOKEN_2"])[0] == 404
    assert ask(f"{jobs}/approval_flow", given["MUSTER_CLIENT_TOKEN_2"], "POST", b"{}")[0] == 202


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_well_and_leaves_nothing(
    machine: Machine, server: tuple[subprocess.Popen[str], dict[str, str]], number: signal.Signals
) -> None:
    running, _ = server
    running.send_signal(number)
    assert running.wait(20) == 0
    assert machine.processes() == []
    assert list(machine.temporary.iterdir()) == []


def test_a_server_that_dies_ends_it_with_an_error(
    machine: Machine, server: tuple[subprocess.Popen[str], dict[str, str]]
) -> None:
    running, _ = server
    for pid in machine.processes():
        if b"muster.cli.app\0server" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    assert running.wait(20) == 1
    assert "orchestrator-1 ended" in (machine.folder / "stderr.log").read_text()


def test_a_taken_port_is_an_error_for_the_suite_expects_that_one(machine: Machine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        running = machine.start("-m", "muster.cli.conformance", MUSTER_PORT=str(taken.getsockname()[1]))
        out, _ = running.communicate(timeout=20)
    assert (running.returncode, out) == (1, "")
    assert "is taken" in (machine.folder / "stderr.log").read_text()
