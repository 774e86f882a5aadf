"""Child processes of a command: they end with us in every case, and are all stopped when it is done."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from muster.embedded import die_with_parent

MUSTER: Final = (sys.executable, "-m", "muster.cli.app")
"""Our own command, whether or not it is on the path."""
STOP_SECONDS_MAX: Final = 10.0
TAIL_LINES: Final = 15


def environment_of_others() -> dict[str, str]:
    """This process's environment without our settings: a child gets exactly those it needs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}


@dataclass(frozen=True, slots=True)
class Child:
    """With `serves` the others need it until they have ended."""

    name: str
    process: subprocess.Popen[bytes]
    log_file: Path | None
    serves: bool = False

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def log_tail(self) -> str:
        if self.log_file is None or not self.log_file.exists():
            return ""
        lines = self.log_file.read_text(errors="replace").splitlines()
        return "\n".join(f"  {self.name} | {line}" for line in lines[-TAIL_LINES:])


@dataclass(slots=True)
class Children:
    """Starts children and stops them when left, those last that serve the others. Use it as a context manager.

    Each logs to a file in *log_folder*, or where there is none to our stderr. One that does not end within *patience_s*
    of being asked to is killed.
    """

    log_folder: Path | None = None
    patience_s: float = STOP_SECONDS_MAX
    started: list[Child] = field(default_factory=list[Child])

    def start(self, name: str, command: Sequence[str], variables: Mapping[str, str], *, serves: bool = False) -> Child:
        """Start *command* in a session of its own; *variables* are all it has of ours (`MUSTER_…`)."""
        log_file = self.log_folder / f"{name}.log" if self.log_folder else None
        with log_file.open("ab") if log_file else nullcontext(sys.stderr) as log:
            process = subprocess.Popen(  # noqa: S603 -- commands of our own
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment_of_others(), **variables},
                start_new_session=True,  # Ctrl-C reaches us, and we stop them in order
                preexec_fn=die_with_parent(),
            )
        child = Child(name, process, log_file, serves)
        self.started.append(child)
        return child

    def stop(self) -> None:
        """Ask all to end, wait for them, and kill what does not; then those that served them."""
        for serves in (False, True):
            _stop_together([child for child in reversed(self.started) if child.serves is serves], self.patience_s)
        self.started.clear()

    def ended(self) -> list[Child]:
        """Children that ended by themselves."""
        return [child for child in self.started if child.has_ended]

    def log_tails(self) -> str:
        return "\n".join(child.log_tail() for child in self.started)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _stop_together(children: Sequence[Child], patience_s: float) -> None:
    for child in children:
        child.process.terminate()
    deadline = time.monotonic() + patience_s
    for child in children:
        try:
            child.process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
