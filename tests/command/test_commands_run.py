"""What a command gets, what it may print and leave, and how its end is told."""

import asyncio
import io
import signal
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from muster_worker import Failed
from muster_worker.command.settings import CommandSettings, Limits
from pydantic import ValidationError

from tests.command.running import Bench, memory_peak_kib

MIB = 1024 * 1024


async def failure(bench: Bench, *argv: str, **params: Any) -> Failed:
    with pytest.raises(Failed) as failed:
        await bench.run(*argv, **params)
    assert failed.value.code == "COMMAND_FAILED"
    return failed.value


def allowing(bench: Bench, **settings: Any) -> Bench:
    """A bench for the same folder and mark, with other settings."""
    return Bench(bench.settings.model_copy(update=settings), mark=bench.mark)


async def test_a_command_that_ends_well_says_so(bench: Bench) -> None:
    result = await bench.run("sh", "-c", "echo one; echo two >&2; printf 'no end'")
    assert (result.exit_code, result.error, result.artifacts) == (0, None, [])
    assert 0 < result.run_seconds < 20
    assert bench.ctx.lines("stdout") == ["one", "no end"]
    assert bench.ctx.lines("stderr") == ["two"]
    assert all(abs(event["at"] / 1000 - time.time()) < 60 for event in bench.ctx.of("log"))


async def test_a_line_is_told_while_the_command_still_runs(bench: Bench) -> None:
    running = bench.start("sh", "-c", "echo first; read nothing; sleep 300")
    await bench.said("first")
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.parametrize(
    ("script", "exit_code", "message"),
    [
        ("exit 7", 7, "command exited with status 7"),
        ("kill -9 $$", 137, "command exited with status 137 (SIGKILL)"),
        ("kill -15 $$", 143, "command exited with status 143 (SIGTERM)"),
        ("kill -40 $$", 168, "command exited with status 168"),
    ],
)
async def test_another_status_than_0_fails_the_task(bench: Bench, script: str, exit_code: int, message: str) -> None:
    failed = await failure(bench, "sh", "-c", f"echo said; {script}")
    assert str(failed) == message
    assert failed.data is not None
    assert failed.data["exit_code"] == exit_code
    assert bench.ctx.lines() == ["said"]


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["no-such-program"], "there is no program 'no-such-program' on this worker's path"),
        (["./missing"], "No such file or directory: ./missing"),
        (["/dev/null"], "Permission denied: /dev/null"),
    ],
)
async def test_a_program_that_cannot_be_started_fails_the_task(bench: Bench, argv: list[str], why: str) -> None:
    failed = await failure(bench, *argv)
    assert str(failed) == f"command could not be started: {why}"
    assert failed.data is not None
    assert failed.data["exit_code"] == 127


async def test_the_environment_is_clean_and_what_was_declared(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_WORKER_TOKEN", "secret")
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    await bench.run("env", environment={"COLOUR": "blue", "LANG": "de_DE.UTF-8"})
    given = dict(line.split("=", 1) for line in bench.ctx.lines())
    assert set(given) == {"PATH", "HOME", "LANG", "COLOUR", "COMMAND_MARK"}
    assert (given["COLOUR"], given["LANG"]) == ("blue", "de_DE.UTF-8")
    assert Path(given["HOME"]).parent == bench.settings.folder.resolve()


async def test_arguments_and_variables_may_be_of_any_language(bench: Bench) -> None:
    await bench.run("sh", "-c", 'echo "$1 $NAME"', "sh", "größe 尺寸", environment={"NAME": "Zoë"})
    assert bench.ctx.lines() == ["größe 尺寸 Zoë"]


async def test_it_has_no_terminal_no_stdin_and_no_descriptor_of_the_worker(bench: Bench) -> None:
    await bench.run("sh", "-c", "cat; ls /proc/self/fd | wc -l; ps -o sid= -p $$ | tr -d ' '; echo $$")
    descriptors, session, own = bench.ctx.lines()
    assert int(descriptors) <= 4  # 0, 1, 2 and the folder that ls reads
    assert session == own


async def test_signals_that_python_ignores_are_as_usual(bench: Bench) -> None:
    await bench.run("sh", "-c", "yes | head -1")
    await bench.run("grep", "SigIgn", "/proc/self/status")
    ignored = int(bench.ctx.lines()[-1].split()[-1], 16)  # others may be ignored by whoever started the tests
    assert not [number for number in (signal.SIGPIPE, signal.SIGXFSZ) if ignored & 1 << (number - 1)]


async def test_limits_are_kept(bench: Bench) -> None:
    limited = allowing(bench, limits=Limits(file_bytes=1000, open_files=50))
    await limited.run("sh", "-c", "ulimit -n; ulimit -c")
    assert limited.ctx.lines() == ["50", "0"]
    failed = await failure(limited, "sh", "-c", "exec head -c 5000 /dev/zero > big")
    assert str(failed) == "command exited with status 153 (SIGXFSZ)"


async def test_a_script_runs_in_the_runtime_with_its_arguments_beside_its_inputs(bench: Bench) -> None:
    bench.ctx.files.stored = {"f1": b"1,2\n"}
    await bench.run(
        script_content="import sys\nprint(sys.argv[1:], open('a.csv').read().strip())",
        runtime="python:3.11",
        args=["x", "--y"],
        inputs=[{"name": "a.csv", "file_id": "f1"}],
    )
    assert bench.ctx.lines() == ["['x', '--y'] 1,2"]


async def test_an_input_that_cannot_be_had_fails_the_task_before_the_command_starts(bench: Bench) -> None:
    failed = await failure(bench, "echo", "ran", inputs=[{"name": "a.csv", "file_id": "gone"}])
    assert str(failed) == "input 'a.csv' could not be fetched: there is no file 'gone'"
    assert bench.ctx.lines() == []


async def test_an_address_is_not_fetched_unless_the_worker_allows_it(bench: Bench) -> None:
    failed = await failure(bench, "true", inputs=[{"name": "a", "url": "http://127.0.0.1:1/a"}])
    assert "allow_url_inputs is off" in str(failed)
    failed = await failure(
        allowing(bench, allow_url_inputs=True), "true", inputs=[{"name": "a", "url": "http://127.0.0.1:1/a"}]
    )
    assert str(failed).startswith("input 'a' could not be fetched: ")


async def test_requirements_are_installed_only_where_the_worker_allows_it(bench: Bench) -> None:
    script: dict[str, Any] = {"script_content": "import sys; print(sys.prefix)", "runtime": "python:3.11"}
    failed = await failure(bench, **script, requirements_content="requests")
    assert "allow_requirements is off" in str(failed)
    allowed = allowing(bench, allow_requirements=True)
    await allowed.run(**script, requirements_content="# nothing is needed\n")
    assert allowed.ctx.lines()[-1].endswith("/.venv")


async def test_files_that_markers_name_are_kept_and_no_others(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    script = f"""
        mkdir out; echo 1 > out/a.csv; echo 2 > b.csv; ln -s {tmp_path}/secret link; ln -s b.csv same
        echo 'STEP_START:write'
        echo 'ARTIFACT:out/a.csv:The table'
        for path in link /etc/hostname ../../etc/hostname {tmp_path}/secret out missing b.csv/x same; do
            echo "ARTIFACT:$path:"
        done
    """
    result = await bench.run("sh", "-c", script)
    assert bench.ctx.files.uploaded == {"a.csv": b"1\n", "b.csv": b"2\n"}
    assert bench.ctx.files.steps == {"a.csv": 0, "b.csv": 0}
    assert result.artifacts == ["a.csv", "b.csv"]
    assert len(bench.ctx.lines("stderr")) == 7
    assert "'/etc/hostname' is not kept: no such file in the working directory" in bench.ctx.lines("stderr")


async def test_all_files_that_a_script_wrote_are_kept_but_none_that_it_was_given(bench: Bench) -> None:
    shell = allowing(bench, runtimes={"sh": ("sh",)})
    shell.ctx.files.stored = {"f1": b"in"}
    await shell.run(
        script_content="echo out > result.txt; mkdir -p sub .cache; echo 1 > sub/x; echo 1 > .cache/y; ln -s /etc etc",
        runtime="sh",
        inputs=[{"name": "a.csv", "file_id": "f1"}],
        collect="all",
    )
    assert set(shell.ctx.files.uploaded) == {"result.txt", "x"}


async def test_files_of_one_name_do_not_take_each_others_place(bench: Bench) -> None:
    script = "mkdir 1 2 3; for n in 1 2 3; do echo $n > $n/a.csv; done; echo 4 > 2_a.csv; echo 5 > 'a b.csv'"
    result = await bench.run("sh", "-c", script, collect=["3/a.csv", "1/a.csv", "2_a.csv", "2/a.csv", "a b.csv"])
    kept = {name: content.strip() for name, content in bench.ctx.files.uploaded.items()}
    assert kept == {"a.csv": b"3", "1_a.csv": b"1", "2_a.csv": b"4", "3_a.csv": b"2", "a_b.csv": b"5"}
    assert list(kept) == result.artifacts
    assert result.output_file == "a.csv"


async def test_a_failed_command_keeps_its_files_too(bench: Bench) -> None:
    failed = await failure(bench, "sh", "-c", "echo 1 > a.csv; exit 3", collect=["none.csv", "a.csv"])
    assert failed.data is not None
    assert (failed.data["artifacts"], failed.data["output_file"]) == (["a.csv"], "a.csv")
    assert bench.ctx.files.uploaded == {"a.csv": b"1\n"}


async def test_a_file_that_cannot_be_stored_fails_the_task(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(bench.ctx.files, "upload", full)
    failed = await failure(bench, "sh", "-c", "echo 1 > a.csv", collect=["a.csv"])
    assert str(failed) == "artifact 'a.csv' could not be stored: no space left"


async def test_steps_and_figures_are_told_as_they_come(bench: Bench) -> None:
    script = "echo STEP_START:load; echo META:rows_inserted:3; echo META:progress:0.5; echo STEP_COMPLETE:load"
    result = await bench.run("sh", "-c", script)
    assert result.meta == {"rows_inserted": 3}
    assert [event["step"]["status"] for event in bench.ctx.of("step")][-1] == "completed"
    assert [event["fraction"] for event in bench.ctx.of("progress")] == [0.5]
    assert bench.ctx.of("meta") == [{"kind": "meta", "key": "rows_inserted", "value": "3"}]


async def test_without_markers_such_lines_mean_nothing(bench: Bench) -> None:
    await bench.run("sh", "-c", "echo STEP_START:load; echo META:a:1", markers=False)
    assert bench.ctx.of("step") == bench.ctx.of("meta") == []


async def test_the_open_step_ends_as_the_command_does(bench: Bench) -> None:
    await failure(bench, "sh", "-c", "echo STEP_START:load; exit 4")
    step = bench.ctx.of("step")[-1]["step"]
    assert (step["status"], step["exit_code"]) == ("failed", 4)


async def test_a_step_that_stops_on_errors_ends_the_command(bench: Bench) -> None:
    failed = await failure(
        bench, "sh", "-c", "echo 'STEP_START:load [stop_on_error=true]'; echo STEP_ERROR:no rows; sleep 300"
    )
    assert str(failed) == "step 'load' failed: no rows"


async def test_a_last_line_without_end_may_be_a_marker(bench: Bench) -> None:
    failed = await failure(bench, "printf", "STEP_START:a [stop_on_error=true]\nSTEP_ERROR:no rows")
    assert str(failed) == "step 'a' failed: no rows"


async def test_a_cancelled_command_has_no_open_step(bench: Bench) -> None:
    running = bench.start("sh", "-c", "echo STEP_START:load; echo ready; sleep 300")
    await bench.said("ready")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert bench.ctx.of("step")[-1]["step"]["status"] == "failed"


async def test_a_worker_without_room_for_a_directory_says_so(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    failed = await failure(allowing(bench, folder=tmp_path / "file"), "true")
    assert str(failed).startswith("command could not be prepared: ")


async def test_100_mib_of_output_pass_in_bounded_memory(bench: Bench) -> None:
    counted: dict[str, int] = {"bytes": 0, "longest": 0}

    def count(kind: str, **fields: Any) -> None:
        if kind == "log":
            counted["bytes"] += len(fields["text"])
            counted["longest"] = max(counted["longest"], len(fields["text"]))

    bench.ctx.emit = count  # type: ignore[method-assign]
    before_kib = memory_peak_kib()
    await bench.run("head", "-c", str(100 * MIB), "/dev/zero")
    await bench.run("sh", "-c", f"yes {'x' * 1023} | head -c {20 * MIB}")
    assert counted == {"bytes": 100 * MIB + 20 * 1023 * 1024, "longest": 65_536}
    assert memory_peak_kib() - before_kib < 16 * 1024


async def test_a_command_that_prints_without_end_is_ended(bench: Bench) -> None:
    limited = allowing(bench, output_bytes_max=MIB)
    failed = await failure(limited, "yes")
    assert str(failed) == f"command printed more than {MIB} bytes"
    assert sum(len(line) + 1 for line in limited.ctx.lines()) == MIB


async def test_a_relative_working_directory_is_inside_the_tasks_own(bench: Bench) -> None:
    await bench.run("pwd", working_directory="a/b")
    assert bench.ctx.lines()[0].endswith("/a/b")
    for outside in ("..", "a/../../..", "/", "/etc"):
        failed = await failure(bench, "pwd", working_directory=outside)
        assert "does not run commands in" in str(failed)


async def test_an_absolute_working_directory_needs_the_workers_leave(bench: Bench, tmp_path: Path) -> None:
    shared, other = tmp_path / "shared", tmp_path / "shared-not"
    (shared / "deep").mkdir(parents=True)
    other.mkdir()
    (shared / "link").symlink_to(other)
    allowed = allowing(bench, folders=(shared,))
    await allowed.run("pwd", working_directory=str(shared / "deep"))
    assert allowed.ctx.lines() == [str((shared / "deep").resolve())]
    for outside in (other, shared / "link", shared / ".." / "shared-not"):
        await failure(allowed, "pwd", working_directory=str(outside))


async def test_a_worker_runs_only_programs_and_runtimes_that_it_names(bench: Bench) -> None:
    strict = allowing(bench, programs=("echo",), runtimes={})
    await strict.run("echo", "hello", environment={"PATH": "/nowhere"})
    assert strict.ctx.lines() == ["hello"]
    failed = await failure(strict, "sh", "-c", "echo no")
    assert str(failed) == "this worker does not run 'sh'; it runs echo"
    failed = await failure(strict, script_content="1", runtime="python:3.11")
    assert str(failed) == "this worker has no runtime 'python:3.11'; it has none"
    nothing = Bench(CommandSettings(folder=bench.settings.folder), mark=bench.mark)
    await failure(nothing, "true")


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({}, "give either argv or script_content"),
        ({"argv": ["true"], "script_content": "1", "runtime": "x"}, "give either argv or script_content"),
        ({"argv": []}, "at least 1"),
        ({"argv": [""]}, "it is empty"),
        ({"argv": ["a\0b"]}, "NUL"),
        ({"argv": ["x" * 200_000]}, "bytes cannot be passed"),
        ({"script_content": "1"}, "needs the runtime"),
        ({"argv": ["true"], "args": ["x"]}, "argv is complete"),
        ({"argv": ["true"], "environment": {"MUSTER_WORKER_TOKEN": "x"}}, "never passed"),
        ({"argv": ["true"], "environment": {"A=B": "x"}}, "not the name of a variable"),
        ({"argv": ["true"], "timeout_seconds": 0}, "greater than 0"),
        ({"argv": ["true"], "inputs": [{"name": "../x", "file_id": "f"}]}, "not a plain file name"),
        ({"argv": ["true"], "inputs": [{"name": "..", "file_id": "f"}]}, "not a plain file name"),
        ({"argv": ["true"], "inputs": [{"name": "x"}]}, "either file_id or url"),
        ({"argv": ["true"], "inputs": [{"name": "x", "file_id": "f"}] * 2}, "same name"),
        (
            {
                "script_content": "1",
                "runtime": "x",
                "requirements_content": "",
                "inputs": [{"name": "requirements.txt", "file_id": "f"}],
            },
            "called requirements.txt",
        ),
        ({"argv": ["true"], "inputs": [{"name": "x", "url": "file:///etc/passwd"}]}, "pattern"),
    ],
)
async def test_what_cannot_be_run_is_said_before_it_is_tried(bench: Bench, params: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        await bench.run(**params)


async def test_many_commands_run_at_once(bench: Bench) -> None:
    results = await asyncio.gather(*(bench.run(sys.executable, "-c", f"print({n})") for n in range(10)))
    assert [result.exit_code for result in results] == [0] * 10
    assert sorted(map(int, bench.ctx.lines())) == list(range(10))


async def test_what_a_command_printed_can_be_kept_as_a_file(bench: Bench) -> None:
    result = await bench.run("sh", "-c", "printf 'a\\nb'; echo err >&2", stdout_file="output.txt")
    assert (result.output_file, result.artifacts) == ("output.txt", ["output.txt"])
    assert bench.ctx.files.uploaded == {"output.txt": b"a\nb"}


async def test_a_command_that_printed_nothing_leaves_no_file_of_it(bench: Bench) -> None:
    result = await bench.run("sh", "-c", "echo err >&2", stdout_file="output.txt", collect="all")
    assert (result.output_file, result.artifacts) == (None, [])


async def test_a_folder_is_kept_as_a_zip(bench: Bench) -> None:
    script = "mkdir -p out/deep; echo 1 > out/a.txt; echo 2 > out/deep/b.txt; ln -s /etc/passwd out/link"
    result = await bench.run("sh", "-c", script, collect=["out/", "none/", "../"])
    assert (result.output_file, result.artifacts) == ("out.zip", ["out.zip"])
    with zipfile.ZipFile(io.BytesIO(bench.ctx.files.uploaded["out.zip"])) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"a.txt": b"1\n", "deep/b.txt": b"2\n"}
    assert next(line for line in bench.ctx.lines("stderr") if "is not kept" in line).startswith("'none/'")


async def test_it_is_told_where_the_inputs_lay(bench: Bench) -> None:
    bench.ctx.files.stored["f" * 32] = b"x"
    result = await bench.run("pwd", inputs=[{"name": "a.csv", "file_id": "f" * 32}])
    assert result.input_paths == [f"{bench.ctx.lines()[0]}/a.csv"]
