"""Real processes to break: a store, orchestrators and workers that can be killed, paused and started again."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import redis
from muster.embedded import EmbeddedEngine, Kind, die_with_parent, find_binary

from tests.support.forking import Forked, fork_server
from tests.support.ports import free_port

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FLOWS = HERE / "flows.py"
HANDS = HERE / "hands.py"
WORKER_TOKEN = "worker-token-of-the-system-tests"
ALPHA, BETA = "client-token-of-tenant-alpha", "client-token-of-tenant-beta"
SECRET = "the-secret-of-the-system-tests"
SECONDS_MAX = 30.0
POLL_S = 0.02


@dataclass
class Process:
    """One program with its environment; its output goes to a file of its own."""

    name: str
    command: Sequence[str]
    variables: dict[str, str]
    log_file: Path
    popen: "subprocess.Popen[bytes] | Forked | None" = None

    def start(self) -> None:
        assert self.popen is None, f"{self.name} runs already"
        others = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
        env = {**others, **self.variables}
        with self.log_file.open("ab") as log:
            if sys.platform == "linux" and self.command[0] == "-m":
                self.popen = fork_server(ROOT).fork(self.command, cwd=ROOT, env=env, log_file=self.log_file)
                return
            self.popen = subprocess.Popen(
                [sys.executable, *self.command],
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    def signal(self, number: signal.Signals) -> None:
        assert self.popen is not None, f"{self.name} does not run"
        self.popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL: no last words."""
        self.signal(signal.SIGKILL)
        self._gone()

    def stop(self, seconds: float = SECONDS_MAX) -> int:
        """SIGTERM, and wait for the end. Returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds: float = SECONDS_MAX) -> int:
        assert self.popen is not None
        code = self.popen.wait(seconds)
        self.popen = None
        return code

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    @property
    def has_ended(self) -> bool:
        return self.popen is None or self.popen.poll() is not None

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def close(self) -> None:
        if self.popen is not None:
            self.popen.kill()
            self._gone()

    def _gone(self) -> None:
        assert self.popen is not None
        self.popen.wait(SECONDS_MAX)
        self.popen = None


@dataclass
class Orchestrator(Process):
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_until_ready(self) -> None:
        wait_until(lambda: self.is_ready or self._fail_if_ended(), f"{self.name} is ready")

    @property
    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def restart(self) -> None:
        """Start again on the same port and wait until it serves."""
        self.start()
        self.wait_until_ready()

    def _fail_if_ended(self) -> bool:
        assert not self.has_ended, f"{self.name} ended:\n{self.log[-4000:]}"
        return False


class StoreProcess:
    """The embedded engine, and the ways it can go wrong."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        self._engine = EmbeddedEngine(folder, binary=find_binary(kind))
        self._engine.start()

    @property
    def url(self) -> str:
        return self._engine.url

    def stop(self) -> None:
        """An orderly end."""
        self._engine.stop()

    def start(self) -> None:
        self._engine.start()

    def kill(self) -> None:
        """SIGKILL; then tidy up what the supervisor holds, so that it can start again on its data."""
        self._signal(signal.SIGKILL)
        self._engine.stop()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        if self._engine.pid is not None:
            self.resume()
        self._engine.stop()

    def client(self) -> "redis.Redis":
        """A connection for looking on; close it."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    def commands(self) -> dict[str, int]:
        """How often each command was called since the start."""
        with self.client() as client:
            stats = client.info("commandstats")
        return {name.removeprefix("cmdstat_"): int(entry["calls"]) for name, entry in stats.items()}

    def config(self, **values: str) -> None:
        with self.client() as client:
            for name, value in values.items():
                client.config_set(name.replace("_", "-"), value)

    def _signal(self, number: signal.Signals) -> None:
        assert self._engine.pid is not None, "the store does not run"
        os.kill(self._engine.pid, number)


@dataclass
class Cluster:
    """One store, some orchestrators, some workers."""

    folder: Path
    store: StoreProcess
    orchestrators: list[Orchestrator] = field(default_factory=list[Orchestrator])
    workers: list[Process] = field(default_factory=list[Process])

    @property
    def a(self) -> Orchestrator:
        return self.orchestrators[0]

    @property
    def b(self) -> Orchestrator:
        return self.orchestrators[1]

    def add_orchestrator(self, *, program: str = "muster.cli.app", **variables: str) -> Orchestrator:
        """Start one; it may not be ready yet."""
        port, number = free_port(), len(self.orchestrators) + 1
        orchestrator = Orchestrator(
            f"orchestrator-{number}",
            ("-m", program, "server"),
            {
                "MUSTER_HOST": "127.0.0.1",
                "MUSTER_PORT": str(port),
                "MUSTER_REDIS_URL": self.store.url,
                "MUSTER_BLUEPRINTS": str(FLOWS),
                "MUSTER_CLIENTS_FILE": str(self._clients_file()),
                "MUSTER_GLOBAL_WORKER_TOKEN": WORKER_TOKEN,
                "MUSTER_SECRET": SECRET,
                "MUSTER_FILES_DIR": str(self.files_folder),
                **variables,
            },
            self.folder / f"orchestrator-{number}.log",
            port=port,
        )
        orchestrator.start()
        self.orchestrators.append(orchestrator)
        return orchestrator

    def add_worker(self, prefix: str, *, at: Sequence[Orchestrator] = (), **variables: str) -> Process:
        """An SDK worker for the tasks `prefix.…` of hands.py."""
        number = len(self.workers) + 1
        urls = ",".join(orchestrator.url for orchestrator in at or self.orchestrators)
        worker = Process(
            f"worker-{number}",
            ("-m", "muster.cli.app", "worker", "run", str(HANDS)),
            {
                "MUSTER_URL": urls,
                "MUSTER_WORKER_TOKEN": WORKER_TOKEN,
                "MUSTER_WORKER_ID": f"{prefix}-{number}",
                "HANDS_PREFIX": prefix,
                "HANDS_FOLDER": str(self.folder),
                **variables,
            },
            self.folder / f"worker-{number}.log",
        )
        worker.start()
        self.workers.append(worker)
        return worker

    @property
    def files_folder(self) -> Path:
        """Where all its orchestrators keep files."""
        return self.folder / "files"

    def files(self) -> list[str]:
        """What lies there, finished or not, as folder and name."""
        found = [path for path in self.files_folder.rglob("*") if path.is_file()]
        return [f"{path.parent.name}/{path.name}" for path in found]

    def runs_of(self, prefix: str) -> list[str]:
        """What the workers of *prefix* noted: one line for each time a handler was entered."""
        path = self.folder / f"{prefix}.runs"
        return path.read_text().splitlines() if path.exists() else []

    def close(self) -> None:
        for process in (*self.workers, *self.orchestrators):
            process.close()
        self.store.close()

    def _clients_file(self) -> Path:
        path = self.folder / "clients.toml"
        if not path.exists():
            path.write_text(f'[alpha]\ntoken = "{ALPHA}"\n\n[beta]\ntoken = "{BETA}"\n')
            path.chmod(0o600)
        return path


def wait_until(condition: Callable[[], bool], what: str, seconds: float = SECONDS_MAX) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        time.sleep(POLL_S)
