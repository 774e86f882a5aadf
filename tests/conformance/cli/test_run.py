"""POST /cli/run and POST /upload, with a real worker."""

import io
from typing import Any

import aiohttp
import pytest

from tests.conformance.cli.conftest import UNKNOWN_FILE, Cli


async def test_a_run_that_is_waited_for_answers_with_what_was_printed(cli: Cli) -> None:
    reply = await cli.run("echo", {"text": "hello  world"})
    assert reply.status == 200
    job_id = reply.body["job_id"]
    assert reply.body == {
        "status": "success",
        "stdout": "hello  world\n",
        "stderr": "",
        "exit_code": 0,
        "job_id": job_id,
        "error": None,
        "output_truncated": False,
    }
    assert (await cli.job(job_id))["status"] == "succeeded"


async def test_sync_is_the_default_mode_and_args_may_be_left_out(cli: Cli) -> None:
    reply = await cli.call("POST", "/cli/run", {"stage": "demo", "command": "fail"})
    assert (reply.status, reply.body["status"], reply.body["exit_code"]) == (200, "error", 1)


async def test_a_run_that_fails_is_an_answer_with_its_exit_code(cli: Cli) -> None:
    body = (await cli.run("fail", {"exit_code": 7}, mode="sync")).body
    assert (body["status"], body["exit_code"], body["stdout"]) == ("error", 7, "")
    assert body["stderr"].count("\n") == 1
    job = await cli.job(body["job_id"])
    assert (job["status"], job["exit_code"], job["error"]) == ("failed", 7, "command exited with status 7")


async def test_a_run_that_is_not_waited_for_answers_with_its_job(cli: Cli) -> None:
    reply = await cli.run("echo", {"text": "later"}, mode="async")
    job_id = reply.body["job_id"]
    assert (reply.status, reply.body) == (
        200,
        {"status": "accepted", "job_id": job_id, "stdout": None, "stderr": None, "exit_code": None},
    )
    assert (await cli.end_of(job_id))["stdout"] == "later\n"


async def test_waiting_has_an_end_and_the_job_goes_on(strict: Cli, cli: Cli) -> None:
    reply = await strict.run("slow", stage="text")
    assert (reply.status, reply.body["code"]) == (504, "still_running")
    job = await cli.end_of(reply.body["job_id"])
    assert job["status"] == "succeeded"


@pytest.mark.parametrize(
    ("stage", "command", "detail", "allowed"),
    [
        ("nope", "echo", "Invalid stage 'nope'", ["demo"]),
        ("demo", "nope", "Invalid command 'nope' for stage 'demo'", ["copy", "echo", "fail", "tick"]),
    ],
)
async def test_an_unknown_stage_or_command_is_400_with_those_that_there_are(
    cli: Cli, stage: str, command: str, detail: str, allowed: list[str]
) -> None:
    reply = await cli.run(command, stage=stage)
    assert (reply.status, reply.body["detail"], reply.body["allowed"]) == (400, detail, allowed)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"stage": "demo"},
        {"stage": 1, "command": "echo"},
        {"stage": "demo", "command": "echo", "mode": "later"},
        {"stage": "demo", "command": "echo", "args": []},
        {"stage": "demo", "command": "echo", "args": {"text": {"a": 1}}},
        {"stage": "demo", "command": "echo", "args": {"text": [["a"]]}},
        {"stage": "demo", "command": "echo", "args": {}},
        {"stage": "demo", "command": "echo", "args": {"text": True}},
        {"stage": "demo", "command": "echo", "args": {"text": "a", "other": "b"}},
        {"stage": "demo", "command": "fail", "args": {"exit_code": "three"}},
        {"stage": "demo", "command": "fail", "args": {"exit_code": 256}},
        {"stage": "demo", "command": "copy", "args": {"input": "a", "output": "../b"}},
        {"stage": "demo", "command": "copy", "args": {"input": "a", "output": "/b"}},
        {"stage": "demo", "command": "copy", "args": {"input": "../../etc/passwd", "output": "b"}},
        {"stage": "demo", "command": "copy", "args": {"input": "/etc/passwd", "output": "b"}},
        {"stage": "demo", "command": "copy", "args": {"input": "a/../../b", "output": "b"}},
    ],
)
async def test_wrong_types_values_and_modes_are_422(cli: Cli, body: dict[str, Any]) -> None:
    reply = await cli.call("POST", "/cli/run", body)
    assert (reply.status, reply.body["code"]) == (422, "unprocessable"), reply
    assert isinstance(reply.body["detail"], str)


async def test_malformed_json_is_400(cli: Cli) -> None:
    reply = await cli.call("POST", "/cli/run", data=b"{")
    assert (reply.status, reply.body["code"]) == (400, "malformed_json")


async def test_an_unknown_and_a_foreign_file_are_404_with_their_ids(cli: Cli, stranger: Cli) -> None:
    theirs, mine = await stranger.upload("a.csv", b"x"), await cli.upload("a.csv", b"x")
    for command, args in (
        ("copy", {"input": f"file_id:{theirs}", "output": "out.csv"}),
        ("copy", {"input": f"file_id:{UNKNOWN_FILE}", "output": "out.csv"}),
        ("copy", {"input": "file_id:../../etc/passwd", "output": "out.csv"}),
    ):
        reply = await cli.run(command, args)
        assert (reply.status, reply.body["code"]) == (404, "file_not_found")
        assert reply.body["file_ids"] == [args["input"].removeprefix("file_id:")]
    reply = await cli.run("copy", {"input": f"file_id:{mine}", "output": "out.csv"})
    assert reply.body["status"] == "success"


async def test_an_upload_is_named_by_its_id_and_keeps_its_name_in_the_directory_of_the_command(cli: Cli) -> None:
    file_id = await cli.upload("my data.csv", b"a,b\n")
    body = (await cli.run("copy", {"input": f"file_id:{file_id}", "output": "deep/er/out.csv"})).body
    assert (body["status"], body["stdout"], body["exit_code"]) == ("success", "copied\n", 0)
    job = await cli.job(body["job_id"])
    assert job["output_file"] == "out.csv"
    assert len(job["resolved_input_paths"]) == 1
    assert job["resolved_input_paths"][0].endswith("/my_data.csv")


@pytest.mark.parametrize("name", ["out.csv", "-n", "output.txt"])
async def test_an_input_never_takes_the_place_of_an_output_and_is_never_a_flag(cli: Cli, name: str) -> None:
    file_id = await cli.upload(name, b"1\n")
    body = (await cli.run("copy", {"input": f"file_id:{file_id}", "output": "out.csv"})).body
    assert (body["status"], body["stderr"]) == ("success", "")


async def test_words_reach_the_program_as_they_are(cli: Cli) -> None:
    for text in ("-", "-1", "$(id) `id` ; exit 1", "%s %d \\n", "é\u4e2d", ""):
        body = (await cli.run("echo", {"text": text})).body
        assert body["stdout"] == f"{text}\n"
    refused = await cli.run("echo", {"text": "--help"})
    assert (refused.status, refused.body["errors"][0]["pointer"]) == (422, "/args/text")


async def test_where_no_argument_names_a_file_what_was_printed_is_kept(cli: Cli) -> None:
    job_id = (await cli.run("echo", {"text": "kept"})).body["job_id"]
    assert (await cli.job(job_id))["output_file"] == "output.txt"
    assert (await cli.call("GET", f"/jobs/{job_id}/download")).raw == b"kept\n"


async def test_a_folder_that_an_argument_names_is_kept_as_a_zip(strict: Cli, cli: Cli) -> None:
    job_id = await strict.start("list", {"_positional": ["a", "b"], "v": True, "n": 3}, stage="text")
    job = await cli.end_of(job_id)
    assert job["stdout"].split() == ["a", "b", "--output-dir", "out", "--v", "--n", "3"]
    assert job["output_file"] == "out.zip"


async def test_an_upload_answers_with_its_id_and_a_path(cli: Cli) -> None:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("file", io.BytesIO(b"content"), filename="../x y.csv")
    async with cli.session.post(f"{cli.url}/upload", data=form, headers=cli.headers) as answer:
        body = await answer.json()
    assert answer.status == 200
    assert len(body["file_id"]) == 32
    assert body["path"] == f"uploads/{body['file_id']}_x_y.csv"


async def test_an_upload_without_the_part_file_is_422_and_one_that_is_no_form_400(cli: Cli) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("other", "x")
    async with cli.session.post(f"{cli.url}/upload", data=form, headers=cli.headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (422, "unprocessable")
    reply = await cli.call("POST", "/upload", data=b"plain")
    assert (reply.status, reply.body["code"]) == (400, "invalid_body")


async def test_an_upload_that_is_too_large_is_413(strict: Cli) -> None:
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(b"x" * 1001), filename="large.csv")
    async with strict.session.post(f"{strict.url}/upload", data=form, headers=strict.headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (413, "body_too_large")
    assert await strict.upload("fits.csv", b"x" * 1000)


async def test_without_a_key_everything_is_401_where_one_is_configured(anybody: Cli) -> None:
    for method, path in (
        ("GET", "/cli/commands"),
        ("GET", "/cli/examples"),
        ("POST", "/cli/run"),
        ("POST", "/upload"),
        ("GET", f"/jobs/{UNKNOWN_FILE}"),
        ("DELETE", f"/jobs/{UNKNOWN_FILE}"),
        ("GET", f"/jobs/{UNKNOWN_FILE}/manifest"),
        ("GET", f"/jobs/{UNKNOWN_FILE}/download"),
    ):
        for headers in ({}, {"X-API-Key": "wrong"}):
            reply = await anybody.call(method, f"{path}?api_key=x", headers=headers)
            assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, "Bearer"), path


async def test_where_no_key_is_configured_anybody_may_call_and_a_wrong_key_is_refused_all_the_same(lonely: Cli) -> None:
    assert (await lonely.call("GET", "/cli/commands")).status == 200
    assert await lonely.upload("a", b"x")
    assert (await lonely.call("GET", "/cli/commands", headers={"X-API-Key": "wrong"})).status == 401
