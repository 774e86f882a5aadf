"""`make demo`: the main job end to end, on a real input, and nothing left behind."""

import re
import signal
import subprocess
import sys
import time

import pytest

from tests.e2e.machine import Machine


def demo(machine: Machine, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "muster.cli.demo", *arguments],
        cwd=machine.folder,
        env=machine.environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_demo_counts_a_real_text_and_cleans_up(machine: Machine) -> None:
    text = machine.folder / "verse.txt"
    text.write_text("muster the fleet " * 500)
    done = demo(machine, "--input", str(text))
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"total_words": 1500' in done.stdout
    assert re.search(r'"word": "fleet",\s+"count": 500', done.stdout)
    assert "POST /_public/webhooks/approval/" in done.stdout
    assert "approve" in done.stdout.split("Graph of the blueprint")[1]
    assert machine.processes() == []
    assert list(machine.temporary.iterdir()) == []


def test_both_workers_take_part_and_the_default_input_is_the_projects_own_text(machine: Machine) -> None:
    begun = time.monotonic()
    done = demo(machine)
    assert time.monotonic() - begun < 30, "what a warm demo may take"
    assert done.returncode == 0, done.stdout + done.stderr
    workers = done.stdout.split("Who did the work")[1].split("Result")[0]
    assert re.search(r"ada +[1-9]\d* tasks", workers)
    assert re.search(r"grace +[1-9]\d* tasks", workers)


def test_an_input_that_is_not_there_is_named(machine: Machine) -> None:
    done = demo(machine, "--input", "gone.txt")
    assert done.returncode == 2
    assert "gone.txt: No such file" in done.stderr
    assert "try: make demo INPUT=" in done.stderr


def test_a_text_without_words_fails_with_the_reason_and_cleans_up(machine: Machine) -> None:
    (machine.folder / "empty.txt").write_text("  \n")
    done = demo(machine, "--input", "empty.txt")
    assert done.returncode == 3
    assert "the text has no words" in done.stderr
    assert machine.processes() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_demo_that_is_stopped_half_way_leaves_no_process(machine: Machine, number: signal.Signals) -> None:
    (machine.folder / "long.txt").write_text("muster the fleet " * 20_000)
    running = machine.start("-m", "muster.cli.demo", "--input", "long.txt")
    assert running.stdout is not None
    assert "Starting" in running.stdout.readline()
    running.send_signal(number)
    running.communicate(timeout=20)
    assert running.returncode != 0
