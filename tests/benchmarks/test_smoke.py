"""The benchmark itself must run: a short form of it, whose figures nobody looks at."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_benchmark_of_files_runs() -> None:
    few = ["--mib", "2", "--rounds", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.files", *few], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert "server memory grew by" in done.stdout


def test_the_benchmark_runs_and_loses_no_job() -> None:
    few = ["--jobs", "20", "--rounds", "1", "--latency", "5", "--idle", "10", "--idle-seconds", "0.5"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.run", *few], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert "jobs lost: 0" in done.stdout


def test_the_benchmark_of_logs_runs_and_loses_no_line() -> None:
    rate = ["--rate", "2000", "--seconds", "0.5", "--rounds", "1", "--single", "3"]
    few = [*rate, "--sockets", "20", "--socket-seconds", "0.5"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.logs", *few], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert "lines lost without a word: 0" in done.stdout
    assert "20 sockets" in done.stdout


def test_the_benchmark_of_fans_runs_and_loses_no_job() -> None:
    few = ["--width", "150", "--rounds", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.fans", *few], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert "jobs lost: 0" in done.stdout


def test_the_benchmark_of_scripts_runs() -> None:
    few = ["--calls", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.scripts", *few],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "fixed work" in done.stdout


def test_the_benchmark_of_batches_runs() -> None:
    few = ["--jobs", "200", "--singles", "10", "--rounds", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.batches", *few], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert "batch / single" in done.stdout


def test_the_benchmark_of_flow_runs() -> None:
    few = ["--tasks", "2000", "--queued", "1000", "--tries", "10", "--rounds", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.flow", *few], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert "script calls over 1 ms" in done.stdout
