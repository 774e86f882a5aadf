"""A folder and an environment to run real commands in, and a way to find every process they started."""

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

MARK = "E2E_MARK"
SECONDS_MAX = 60.0


@dataclass
class Machine:
    """A folder and an environment to run commands in; `mark` is in the environment of all they start."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    started: list[subprocess.Popen[str]] = field(default_factory=list[subprocess.Popen[str]])

    @property
    def environment(self) -> dict[str, str]:
        others = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
        places = {"XDG_STATE_HOME": str(self.folder / "home"), "TMPDIR": str(self.temporary), "NO_COLOR": "1"}
        return {**others, **places, MARK: self.mark}

    @property
    def temporary(self) -> Path:
        path = self.folder / "tmp"
        path.mkdir(exist_ok=True)
        return path

    def muster(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "muster.cli.app", *arguments],
            cwd=self.folder,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        """What a command that succeeds prints with `-o json`."""
        done = self.muster(*arguments, "-o", "json")
        assert done.returncode == 0, done.stderr
        return orjson.loads(done.stdout)

    def start(self, *command: str, **variables: str) -> subprocess.Popen[str]:
        """Start `python …` and leave it running."""
        with (self.folder / "stderr.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=self.folder,
                env={**self.environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.started.append(process)
        return process

    def close(self) -> None:
        """End what a failed test left, and close its pipes."""
        for process in self.started:
            process.kill()
            process.communicate()

    def processes(self) -> list[int]:
        """All running processes that carry our mark."""
        wanted = f"{MARK}={self.mark}".encode()
        return [pid for pid in _process_ids() if wanted in _environ(pid)]


def _process_ids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _environ(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def wait_until(condition: Callable[[], bool], seconds: float = SECONDS_MAX) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
