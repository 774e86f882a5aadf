"""A command cannot read the token of the worker that runs it."""

import os
import subprocess
import sys

import pytest

TOKEN = "token-of-the-worker"
WORKER = """
import ctypes, os, subprocess, sys
from muster_worker import Worker
from muster_worker.command.handler import add_commands
from muster_worker.command.settings import CommandSettings

if os.getuid() == 0:  # who may read everything; then as a program that another user has just started
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    assert ctypes.CDLL(None).prctl(4, 1, 0, 0, 0) == 0
if "close" in sys.argv:
    add_commands(Worker(), CommandSettings())
sys.exit(subprocess.run(["/bin/cat", f"/proc/{os.getpid()}/environ"], env={}, cwd="/").returncode)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="commands run on Linux only")
@pytest.mark.parametrize("closes", [True, False])
def test_the_environment_of_a_worker_is_closed_to_its_commands(*, closes: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORKER, *(["close"] if closes else [])],
        env={**os.environ, "MUSTER_WORKER_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (TOKEN in done.stdout, "Permission denied" in done.stderr) == (not closes, closes), done.stderr
