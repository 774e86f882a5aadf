"""The embedded engine: one per folder, private, keeps its data, never outlives who started it."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from muster.embedded import EmbeddedEngine, EngineNotStarted, describe_binary, find_binary

KINDS = ["valkey", *(["redis"] if shutil.which("redis-server") else [])]


@pytest.fixture(params=KINDS)
def binary(request: pytest.FixtureRequest) -> Path:
    return find_binary(request.param)


def ask(url: str, command: str) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(url.removeprefix("unix://"))
        connection.sendall(command.encode() + b"\r\n")
        return connection.recv(65536).decode()


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_it_answers_as_soon_as_start_returns(tmp_path: Path, binary: Path) -> None:
    with EmbeddedEngine(tmp_path, binary=binary) as engine:
        assert ask(engine.url, "PING").startswith("+PONG")


def test_it_listens_on_a_private_socket_only(tmp_path: Path, binary: Path) -> None:
    with EmbeddedEngine(tmp_path, binary=binary) as engine:
        path = Path(engine.url.removeprefix("unix://"))
        assert path.is_absolute()
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert "tcp_port:0" in ask(engine.url, "INFO server")


def test_a_long_folder_name_still_gives_a_short_socket_path(tmp_path: Path) -> None:
    with EmbeddedEngine(tmp_path / ("x" * 120)) as engine:
        assert len(engine.url.removeprefix("unix://")) < 108


def test_it_never_evicts_and_syncs_every_second(tmp_path: Path, binary: Path) -> None:
    with EmbeddedEngine(tmp_path, binary=binary) as engine:
        for setting, value in [
            ("maxmemory-policy", "noeviction"),
            ("appendonly", "yes"),
            ("appendfsync", "everysec"),
        ]:
            assert value in ask(engine.url, f"CONFIG GET {setting}")


def test_data_is_kept_between_runs(tmp_path: Path, binary: Path) -> None:
    with EmbeddedEngine(tmp_path, binary=binary) as engine:
        ask(engine.url, "SET kept yes")
    with EmbeddedEngine(tmp_path, binary=binary) as engine:
        assert "yes" in ask(engine.url, "GET kept")


def test_the_engine_that_wrote_a_folder_is_used_for_it_again(tmp_path: Path, binary: Path) -> None:
    with EmbeddedEngine(tmp_path, binary=binary):
        pass
    with EmbeddedEngine(tmp_path) as engine:
        assert engine.binary == binary


def test_stopping_leaves_no_process_and_no_socket(tmp_path: Path, binary: Path) -> None:
    engine = EmbeddedEngine(tmp_path, binary=binary)
    path = Path(engine.start().removeprefix("unix://"))
    pid = engine.pid
    assert pid is not None
    engine.stop()
    assert not is_running(pid)
    assert not path.parent.exists()
    engine.stop()


def test_a_second_engine_on_one_folder_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with EmbeddedEngine(tmp_path) as first:
        with pytest.raises(EngineNotStarted, match="in use by another engine") as refused:
            EmbeddedEngine(tmp_path).start()
        assert f"process {first.pid}" in str(refused.value)
        assert "MUSTER_DATA_DIR" in refused.value.hint
        assert ask(first.url, "PING").startswith("+PONG"), "the first must not notice"


def test_a_program_that_gives_up_is_reported_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("in the way")
    with pytest.raises(EngineNotStarted, match="did not start") as refused:
        EmbeddedEngine(tmp_path).start()
    assert "engine.log" in refused.value.hint
    shutil.rmtree(tmp_path / "appendonlydir", ignore_errors=True)
    (tmp_path / "appendonlydir").unlink(missing_ok=True)
    with EmbeddedEngine(tmp_path) as engine:
        assert ask(engine.url, "PING").startswith("+PONG"), "a failed start must not keep the folder locked"


def test_a_socket_folder_of_somebody_else_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="mt-") as short:  # a test's own folder may be too long for a socket
        runtime = Path(short)
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        _refuses_a_shared_folder(EmbeddedEngine(tmp_path / "data"), runtime)


def _refuses_a_shared_folder(engine: EmbeddedEngine, runtime: Path) -> None:
    path = Path(engine.start().removeprefix("unix://"))
    engine.stop()
    assert path.is_relative_to(runtime)
    path.parent.mkdir(mode=0o777)
    path.parent.chmod(0o777)
    with pytest.raises(EngineNotStarted, match="open to others"):
        engine.start()


def start_in_a_child(folder: Path, binary: Path) -> tuple[subprocess.Popen[str], int, str]:
    code = (
        "import sys; from pathlib import Path; from muster.embedded import EmbeddedEngine;"
        "e = EmbeddedEngine(Path(sys.argv[1]), binary=Path(sys.argv[2])); url = e.start();"
        "print(e.pid, url, flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(folder), str(binary)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    pid, url = child.stdout.readline().split()
    return child, int(pid), url


def kill(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_the_engine_dies_with_a_parent_that_is_killed(tmp_path: Path, binary: Path) -> None:
    child, pid, url = start_in_a_child(tmp_path, binary)
    ask(url, "SET kept yes")
    kill(child)
    wait_until(lambda: not is_running(pid))
    with EmbeddedEngine(tmp_path, binary=binary) as engine:
        assert "yes" in ask(engine.url, "GET kept")


def test_a_start_right_after_a_kill_waits_for_the_orphan_to_end(tmp_path: Path, binary: Path) -> None:
    child, orphan, url = start_in_a_child(tmp_path, binary)
    ask(url, "SET kept yes")
    os.kill(orphan, signal.SIGSTOP)
    kill(child)
    os.kill(orphan, signal.SIGCONT)
    with EmbeddedEngine(tmp_path, binary=binary) as engine:
        assert not is_running(orphan)
        assert "yes" in ask(engine.url, "GET kept")


def test_a_missing_program_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineNotStarted, match="found no redis-server") as refused:
        find_binary("redis")
    assert "MUSTER_REDIS_URL" in refused.value.hint
    assert describe_binary(find_binary("any")).endswith(", bundled"), "the one that came with us is the first choice"


def test_erasing_starts_afresh_but_never_under_a_running_engine(tmp_path: Path, binary: Path) -> None:
    engine = EmbeddedEngine(tmp_path, binary=binary)
    with engine:
        ask(engine.url, "SET kept yes")
        with pytest.raises(EngineNotStarted, match="in use"):
            EmbeddedEngine(tmp_path).erase()
    engine.erase()
    with engine:
        assert ask(engine.url, "GET kept").startswith("$-1")
