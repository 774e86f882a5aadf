"""Code blocks of documents, and a folder in which what a document says is done."""

import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.machine import Machine, free_port

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"`(\w+\.py)`:\n\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EXPORT = re.compile(r"export (MUSTER_\w+)=(\S+)")


def blocks(page: str, language: str) -> list[str]:
    """The blocks of one language, in order. *page* is a path below the repository."""
    return [text for found, text in FENCE.findall((ROOT / page).read_text()) if found == language]


def files(page: str) -> dict[str, str]:
    """Blocks that the page names as files: "`hello.py`:" and then the block."""
    return dict(NAMED.findall((ROOT / page).read_text()))


class Reader:
    """Somebody who follows a document: a folder, a shell, and a `muster` command on the path."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.variables = {"MUSTER_PORT": str(free_port())}
        command = machine.folder / "bin" / "muster"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m muster.cli.app "$@"\n')
        command.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.machine.folder / 'bin'}:{self.machine.environment['PATH']}"
        return {**self.machine.environment, **self.variables, "PATH": path}

    def write(self, sources: dict[str, str]) -> None:
        for name, text in sources.items():
            (self.machine.folder / name).write_text(text)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Type *script* into a shell that stops at the first thing that goes wrong."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.machine.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def leave_running(self, script: str) -> subprocess.Popen[str]:
        """Start a development server and wait until it says how to talk to it; take over what it says to export."""
        log = (self.machine.folder / "stderr.log").open("ab")
        with log:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {script}"],
                cwd=self.machine.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.machine.started.append(process)
        assert process.stdout is not None
        said = ""
        while "Try this" not in said:
            line = process.stdout.readline()
            assert line, f"it ended: {said}{(self.machine.folder / 'stderr.log').read_text()}"
            said += line
        self.variables.update(EXPORT.findall(said))
        return process
