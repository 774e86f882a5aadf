"""The command line where no server is needed: help, usage, settings, tokens, and errors that say what to do."""

import hashlib
import json
import os
import socket
import tomllib
from pathlib import Path

import pytest
from muster.cli.app import run
from muster.cli.devnote import DevNote, read_note, write_note
from muster.cli.exits import CommandFailed
from muster.cli.job import read_input
from muster.cli.ports import first_free_port

COMMANDS = ["dev", "server", "worker run", "worker ls", "job start", "job ls", "job show", "job watch", "job cancel"]
COMMANDS += ["job logs", "job tree", "job list", "job delete", "cost"]
COMMANDS += ["limit ls", "limit set", "limit rm", "queue pause", "queue resume", "blueprint pause", "blueprint resume"]
COMMANDS += ["batch start", "batch status", "batch cancel"]
COMMANDS += [
    "approval ls",
    "approval delegate",
    "approve",
    "reject",
    "blueprint ls",
    "blueprint check",
    "blueprint graph",
    "config show",
    "token new",
]
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _somewhere_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("MUSTER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a command that must print nothing on stdout and end with one way out."""
    code = run(arguments)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert code != 0
    assert printed.err.splitlines()[-1].startswith("  try: ")
    assert printed.err.count("try: ") == 1
    return code, printed.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run([*command.split(), "--help"]) == 0
    assert f"Usage: muster {command}" in capsys.readouterr().out


def test_without_a_command_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    out = capsys.readouterr().out
    assert all(command.split()[0] in out for command in COMMANDS)


def test_version_is_printed_either_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == 0
    plain = capsys.readouterr().out
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == plain != ""


@pytest.mark.parametrize(
    ("arguments", "said", "way_out"),
    [
        (["job", "strt", "x"], 'Did you mean "start"?', "muster job --help"),
        (["job", "start"], "requires an argument", "muster job start --help"),
        (["job", "start", "x", "--inputt", "{}"], "Did you mean --input?", "muster job start --help"),
        (["jbo"], "Did you mean", "muster --help"),
    ],
)
def test_wrong_usage_is_exit_code_2_with_a_suggestion(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str, way_out: str
) -> None:
    code, err = fails(capsys, *arguments)
    assert code == 2
    assert said in err
    assert f"try: {way_out}" in err


def test_a_server_that_is_not_there_is_exit_code_7(capsys: pytest.CaptureFixture[str]) -> None:
    code, err = fails(capsys, "job", "ls", "--url", NOBODY, "--token", "x")
    assert code == 7
    assert NOBODY in err


def test_without_a_token_nothing_is_sent_and_the_exit_code_is_6(capsys: pytest.CaptureFixture[str]) -> None:
    code, err = fails(capsys, "job", "ls", "--url", NOBODY)
    assert code == 6
    assert "MUSTER_CLIENT_TOKEN" in err


def test_the_note_of_muster_dev_gives_address_and_token(capsys: pytest.CaptureFixture[str]) -> None:
    write_note(Path(".muster"), DevNote(NOBODY, "client_x", "worker_x"))
    code, err = fails(capsys, "job", "ls")
    assert code == 7
    assert NOBODY in err


def test_the_note_of_muster_dev_is_readable_by_us_only(tmp_path: Path) -> None:
    note = DevNote(NOBODY, "client_x", "worker_x")
    write_note(tmp_path / "data", note)
    assert read_note(tmp_path / "data") == note
    assert (tmp_path / "data" / "dev.json").stat().st_mode & 0o077 == 0
    (tmp_path / "data" / "dev.json").write_text("{")
    assert read_note(tmp_path / "data") is None


def test_last_before_any_job_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    code, err = fails(capsys, "job", "show", "@last", "--url", NOBODY, "--token", "x")
    assert code == 5
    assert "muster job start NAME" in err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{", "--input is not JSON"),
        ("[1]", "--input is an array"),
        ("null", "--input is null"),
        ("@gone.json", "No such file"),
    ],
)
def test_input_that_is_no_object_is_refused_before_anything_is_sent(
    capsys: pytest.CaptureFixture[str], given: str, said: str
) -> None:
    code, err = fails(capsys, "job", "start", "x", "--input", given, "--url", NOBODY, "--token", "x")
    assert code == 2
    assert said in err


def test_input_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"name": "Ada"}')
    assert read_input(f"@{tmp_path / 'in.json'}") == {"name": "Ada"}


def test_a_module_without_worker_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    code, err = fails(capsys, "worker", "run", "no_such_module", "--url", NOBODY, "--token", "x")
    assert code == 2
    assert "no_such_module" in err


def test_a_worker_without_module_and_commands_has_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    code, err = fails(capsys, "worker", "run", "--url", NOBODY, "--token", "x")
    assert code == 2
    assert "MODULE" in err
    assert "--commands" in err


@pytest.mark.parametrize(("text", "why"), [("programs = [", "is not TOML"), ("program = []", "program: Extra inputs")])
def test_a_commands_file_with_a_mistake_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, why: str
) -> None:
    (tmp_path / "commands.toml").write_text(text)
    given = ["--commands-file", str(tmp_path / "commands.toml"), "--url", NOBODY, "--token", "x"]
    code, err = fails(capsys, "worker", "run", *given)
    assert code == 2
    assert why in err


def test_config_show_tells_every_origin(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_PORT", "9000")
    monkeypatch.setenv("MUSTER_CLIENT_TOKEN", "very-secret-0123456789")
    assert run(["config", "show", "-o", "json"]) == 0
    out = capsys.readouterr().out
    rows = {row["setting"]: row for row in json.loads(out)}
    assert (rows["MUSTER_PORT"]["value"], rows["MUSTER_PORT"]["origin"]) == ("9000", "environment")
    assert rows["MUSTER_HOST"]["origin"] == "default"
    assert "very-secret" not in out


def test_a_misspelt_variable_stops_the_server_with_a_suggestion(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_REDIS_ULR", "redis://db")
    code, err = fails(capsys, "server")
    assert code == 2
    assert "MUSTER_REDIS_ULR is not a setting. Did you mean MUSTER_REDIS_URL?" in err


def test_production_without_tokens_is_refused_naming_each_fix(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_MODE", "production")
    code, err = fails(capsys, "server")
    assert code == 2
    assert all(name in err for name in ("MUSTER_REDIS_URL", "MUSTER_CLIENTS_FILE", "MUSTER_GLOBAL_WORKER_TOKEN"))


def test_a_server_needs_a_store(capsys: pytest.CaptureFixture[str]) -> None:
    code, err = fails(capsys, "server")
    assert code == 2
    assert "muster dev" in err


def test_dev_refuses_to_erase_a_redis_of_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    code, err = fails(capsys, "dev", "--fresh", "--redis-url", "redis://db")
    assert code == 2
    assert "never a Redis of yours" in err


@pytest.mark.parametrize(("kind", "name"), [("client", "shop"), ("client", "shop.eu"), ("worker", "box-1")])
def test_a_new_token_comes_with_the_lines_that_let_a_server_know_it(
    capsys: pytest.CaptureFixture[str], kind: str, name: str
) -> None:
    assert run(["token", "new", f"--{kind}", name]) == 0
    printed = capsys.readouterr()
    token, _, lines = printed.out.partition("\n\n")
    assert len(token) >= 32
    assert tomllib.loads(lines)[name]["token_sha256"] == hashlib.sha256(token.encode()).hexdigest()
    assert token not in printed.err


def test_the_token_of_an_operator_comes_with_the_line_that_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", "new", "--client", "ops", "--operator", "-o", "json"]) == 0
    assert tomllib.loads(json.loads(capsys.readouterr().out)["toml"])["ops"]["operator"] is True


def test_two_new_tokens_differ(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert run(["token", "new", "--client", "shop", "-o", "json"]) == 0
    first, second = capsys.readouterr().out.split("}\n", 1)
    assert json.loads(first + "}")["token"] != json.loads(second)["token"]


def test_a_token_name_that_would_break_the_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = fails(capsys, "token", "new", "--client", 'x"]\n')
    assert code == 2


def test_a_taken_port_gives_the_next_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert first_free_port("127.0.0.1", port) > port
    assert first_free_port("127.0.0.1", 0) > 0


def test_when_all_ports_are_taken_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muster.cli.ports.TRIED_MAX", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(CommandFailed) as failed:
            first_free_port("127.0.0.1", taken.getsockname()[1])
    assert failed.value.way_out == "--port 0"
