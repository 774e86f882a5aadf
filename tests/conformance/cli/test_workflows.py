"""The workflows of document 000, step by step as it prints them."""

import json
import re
from pathlib import Path

from tests.conformance.cli.conftest import Cli
from tests.system.callers import until

HERE = Path(__file__).parent


async def test_upload_run_download(cli: Cli) -> None:
    # 1. POST /upload (store file_id)
    file_id = await cli.upload("data.csv", b"a,b\n1,2\n")
    # 2. POST /cli/run (use file_id:<id> placeholder in args): async returns job_id
    args = {"input": f"file_id:{file_id}", "output": "out.csv"}
    reply = await cli.run("copy", args, mode="async")
    job_id = reply.body["job_id"]
    # 3. Stream: ws://.../ws/jobs/{job_id}?api_key=<key>&stream=progress
    key = cli.headers["X-API-Key"]
    address = f"{cli.url.replace('http', 'ws')}/ws/jobs/{job_id}?api_key={key}&stream=progress"
    async with cli.session.ws_connect(address) as socket:
        frames = [json.loads(message.data) async for message in socket]
    assert all(frame.keys() == {"progress"} for frame in frames[:-1])
    assert (frames[-1]["status"], frames[-1]["progress"], socket.close_code) == ("succeeded", 1.0, 1000)

    # 4. GET /jobs/{job_id} until status=succeeded; GET /jobs/{job_id}/download to fetch artifact
    async def has_succeeded() -> bool:
        return bool((await cli.job(job_id))["status"] == "succeeded")

    await until(has_succeeded, "the job has succeeded")
    assert (await cli.call("GET", f"/jobs/{job_id}/download")).raw == b"a,b\n1,2\n"


async def test_discovery_and_examples(cli: Cli) -> None:
    commands = (await cli.call("GET", "/cli/commands")).body
    for example in (await cli.call("GET", "/cli/examples")).body["examples"]:
        request = example["request"]
        schema = commands[request["stage"]]["schema"][request["command"]]
        assert request["args"].keys() <= {argument["name"] for argument in schema}
        assert {argument["name"] for argument in schema if argument["required"]} <= request["args"].keys()


def test_every_statement_of_the_document_names_a_test_that_exists() -> None:
    rows = re.findall(r"^\| .+ \| (\S+): (\w+) \|$", (HERE.parent / "coverage_cli.md").read_text(), re.MULTILINE)
    assert len(rows) > 60
    for place, name in rows:
        assert f"def {name}(" in (HERE / place).read_text(), f"{place}: {name}"
