"""What a worker may run is its own to say, and nothing where it has said nothing."""

from pathlib import Path

import pytest
from muster_worker import Worker
from muster_worker.command.handler import add_commands
from muster_worker.command.settings import CommandSettings, command_settings

HERE = "http://127.0.0.1:8080"
THERE = "https://muster.example.com"


@pytest.mark.parametrize(
    ("url", "env", "allows"),
    [
        (HERE, {}, True),
        ("http://localhost:1,http://[::1]:2", {}, True),
        (None, {"MUSTER_URL": HERE}, True),
        (THERE, {}, False),
        (f"{HERE},{THERE}", {}, False),
        (HERE, {"MUSTER_MODE": "production"}, False),
    ],
)
def test_without_a_file_anything_runs_in_development_and_nothing_elsewhere(
    url: str | None, env: dict[str, str], allows: bool
) -> None:
    settings = command_settings(url=url, env=env)
    assert settings.allows("sh") is allows
    assert settings.allows_nothing is not allows
    assert ("python:3.11" in settings.runtimes) is allows
    assert settings.folders == ()
    assert not settings.allow_requirements


def test_a_file_says_what_may_run(tmp_path: Path) -> None:
    file = tmp_path / "commands.toml"
    file.write_text(
        'programs = ["ffmpeg"]\nfolders = ["/srv"]\n[runtimes]\n"bash" = ["bash", "-eu"]\n"sh" = "sh"\n'
        "[limits]\nprocesses = 100\n"
    )
    for settings in (command_settings(file, url=THERE), command_settings(env={"MUSTER_COMMANDS_FILE": str(file)})):
        assert settings.allows("ffmpeg")
        assert not settings.allows("sh")
        assert settings.runtimes == {"bash": ("bash", "-eu"), "sh": ("sh",)}
        assert settings.limits.rlimits()["RLIMIT_NPROC"] == 100
        assert settings.allows_folder(Path("/srv/data"))
        assert not settings.allows_folder(Path("/srv-data"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("programms = []", "programms: Extra inputs are not permitted"),
        ("grace_seconds = -1", "grace_seconds: "),
        ("[limits]\ncpu = 1", "limits.cpu: Extra inputs"),
        ("programs = ", "is not TOML"),
    ],
)
def test_a_mistake_in_the_file_is_an_error_that_names_it(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "commands.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=why) as wrong:
        command_settings(file)
    assert str(file) in str(wrong.value)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        command_settings(tmp_path / "none.toml")


def test_a_worker_takes_commands_beside_its_own_tasks() -> None:
    worker = Worker()
    worker.add("own", lambda value: value)
    add_commands(worker, CommandSettings())
    assert set(worker.handlers) == {"own", "command"}
    with pytest.raises(ValueError, match="has a handler already"):
        add_commands(worker, CommandSettings())
