"""surfaces.md 3: what goes into executions and what comes out of them."""

import re
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.conformance.executions.conftest import NEVER, Client, new_client
from tests.system.callers import Caller, PlainWorker, Reply

COPY = "import sys\nfrom pathlib import Path\nPath('out.txt').write_text(Path(sys.argv[1]).read_text().upper())"


async def plain(anybody: Caller, method: str, url: str, data: bytes | None = None) -> Reply:
    """What curl does with a URL and no header."""
    return await Caller(anybody.session, "").call(method, url, data=data)


async def download_url(client: Client, **body: Any) -> str:
    reply = await client.call("POST", "/api/v1/artifacts/download-url", body)
    assert reply.status == 200, reply.body
    assert set(reply.body) == {"download_url", "expires_in"}
    assert reply.body["expires_in"] == 7200
    url: str = reply.body["download_url"]
    return url


async def test_inputs_are_sent_by_url_and_the_script_runs_once_they_are_here(client: Client, anybody: Caller) -> None:
    made = await client.run(COPY, args=["in.txt"], input_files=["in.txt", "more.txt"])
    assert made["input_files"] == ["in.txt", "more.txt"]
    assert set(made["upload_urls"]) == {"in.txt", "more.txt"}
    for url in made["upload_urls"].values():
        assert url.startswith(client.url)
    assert (await plain(anybody, "PUT", made["upload_urls"]["in.txt"], b"hello")).status in {200, 204}
    assert (await client.execution(made["execution_id"]))["status"] == "queued"
    assert (await plain(anybody, "PUT", made["upload_urls"]["more.txt"], b"more")).status in {200, 204}
    done = await client.ended(made)
    assert (done["status"], done["execution_error"]) == ("completed", None)
    listed = await client.artifacts(made["execution_id"])
    kinds = {(artifact["artifact_type"], artifact["filename"]) for artifact in listed}
    assert kinds == {("input", "in.txt"), ("input", "more.txt"), ("output", "out.txt")}
    output = next(artifact for artifact in listed if artifact["artifact_type"] == "output")
    url = await download_url(client, s3_key=output["file_path"])
    assert (await plain(anybody, "GET", url)).raw == b"HELLO"
    assert (await plain(anybody, "GET", done["download_urls"]["out.txt"])).raw == b"HELLO"


async def test_an_upload_url_takes_one_file_once(quiet: Client, anybody: Caller) -> None:
    made = await quiet.run(COPY, input_files=["in.txt"])
    url = made["upload_urls"]["in.txt"]
    again = (await quiet.execution(made["execution_id"]))["upload_urls"]
    assert again["in.txt"].partition("?")[0] == url.partition("?")[0]
    assert (await plain(anybody, "PUT", url, b"one")).status in {200, 204}
    used = await plain(anybody, "PUT", url, b"two")
    assert (used.status, used.body["code"]) == (403, "signature_refused")


async def test_an_upload_url_that_was_changed_or_is_over_is_403(quiet: Client, anybody: Caller) -> None:
    made = await quiet.run(COPY, input_files=["in.txt"])
    url = made["upload_urls"]["in.txt"]
    over = re.sub(r"exp=\d+", "exp=1000", url)
    forged = re.sub(r"sig=.", "sig=_", url)
    for changed in (over, forged, url.partition("?")[0]):
        assert (await plain(anybody, "PUT", changed, b"x")).status == 403
    lasts_s = int(parse_qs(urlsplit(url).query)["exp"][0]) - time.time()
    assert 3500 < lasts_s <= 3600


async def test_a_name_of_an_input_is_made_safe_and_its_url_keeps_the_clients_name(quiet: Client) -> None:
    made = await quiet.run(COPY, input_files=["../../my data.csv"])
    assert list(made["upload_urls"]) == ["../../my data.csv"]
    job = await quiet.job(made["execution_id"])
    assert [given["name"] for given in job["initial_data"]["inputs"]] == ["my_data.csv"]


async def test_every_file_that_a_script_leaves_is_an_output(client: Client) -> None:
    script = (
        "from pathlib import Path\nPath('a.csv').write_text('1,2')\nPath('sub').mkdir()\nPath('sub/b.json').touch()"
    )
    done = await client.done(script)
    listed = await client.artifacts(done["execution_id"])
    assert [(a["artifact_type"], a["filename"], a["size_bytes"]) for a in listed] == [
        ("output", "a.csv", 3),
        ("output", "b.json", 0),
    ]
    for artifact in listed:
        assert set(artifact) == {
            "artifact_id",
            "execution_id",
            "artifact_type",
            "filename",
            "file_path",
            "size_bytes",
            "content_type",
            "created_at",
            "expires_at",
        }
        assert artifact["execution_id"] == done["execution_id"]
        assert artifact["created_at"] < artifact["expires_at"]
    assert [artifact["content_type"] for artifact in listed] == ["text/csv", "application/json"]
    assert listed[0]["file_path"] == f"executions/{done['execution_id']}/outputs/a.csv"


async def test_an_execution_without_files_has_an_empty_list_of_them(client: Client) -> None:
    assert await client.artifacts((await client.done("pass"))["execution_id"]) == []
    assert (await client.run("pass"))["download_urls"] is None


async def test_a_file_is_downloaded_by_its_path_or_its_id(client: Client, anybody: Caller) -> None:
    done = await client.done("open('a.txt', 'w').write('one')")
    (artifact,) = await client.artifacts(done["execution_id"])
    for wish in ({"s3_key": artifact["file_path"]}, {"artifact_id": artifact["artifact_id"]}):
        url = await download_url(client, **wish)
        assert url.startswith(client.url)
        answer = await plain(anybody, "GET", url)
        assert (answer.status, answer.raw) == (200, b"one")
        changed = re.sub(r"sig=.", "sig=_", url)
        assert (await plain(anybody, "GET", changed)).status == 403
        assert (await plain(anybody, "GET", re.sub(r"exp=\d+", "exp=1000", url))).status == 403


async def test_two_outputs_of_one_name_have_paths_of_their_own(client: Client, anybody: Caller) -> None:
    done = await client.done("import os\nfor n in 'ab':\n    os.mkdir(n)\n    open(f'{n}/x.txt', 'w').write(n)")
    listed = await client.artifacts(done["execution_id"])
    assert len({artifact["file_path"] for artifact in listed}) == 2
    contents = [
        (await plain(anybody, "GET", await download_url(client, s3_key=artifact["file_path"]))).raw
        for artifact in listed
    ]
    assert sorted(contents) == [b"a", b"b"]


@pytest.mark.parametrize("body", [{}, {"s3_key": ""}, {"s3_key": None}, {"key": "x"}])
async def test_without_a_key_there_is_no_url(client: Client, body: dict[str, Any]) -> None:
    reply = await client.call("POST", "/api/v1/artifacts/download-url", body)
    assert (reply.status, reply.body["code"]) == (400, "invalid_body")
    wrong = await client.call("POST", "/api/v1/artifacts/download-url", {"s3_key": 7})
    assert wrong.status == 422
    assert (await client.call("POST", "/api/v1/artifacts/download-url", data=b"{")).status == 400


async def test_unknown_and_foreign_keys_are_404(client: Client, other: Client) -> None:
    done = await client.done("open('a.txt', 'w').write('one')")
    (artifact,) = await client.artifacts(done["execution_id"])
    keys = [
        artifact["file_path"],
        artifact["artifact_id"],
        "nonsense",
        "../../etc/passwd",
        f"executions/{NEVER}/inputs/a",
    ]
    for key in keys:
        reply = await other.call("POST", "/api/v1/artifacts/download-url", {"s3_key": key})
        assert (reply.status, reply.body["code"]) == (404, "file_not_found"), key
    wrong = f"executions/{done['execution_id']}/outputs/b.txt"
    assert (await client.call("POST", "/api/v1/artifacts/download-url", {"s3_key": wrong})).status == 404


async def test_a_file_of_one_execution_is_an_input_of_another_without_being_sent_again(client: Client) -> None:
    one = await client.done("open('a.txt', 'w').write('one')")
    (artifact,) = await client.artifacts(one["execution_id"])
    refs = {"in.txt": artifact["file_path"]}
    two = await client.run(COPY, args=["in.txt"], input_files=["in.txt"], cached_input_refs=refs)
    assert two["upload_urls"] is None
    done = await client.ended(two)
    assert (done["status"], done["execution_error"]) == ("completed", None)


async def test_running_again_copies_the_inputs(client: Client, anybody: Caller) -> None:
    made = await client.run(COPY, args=["in.txt"], input_files=["in.txt"])
    await plain(anybody, "PUT", made["upload_urls"]["in.txt"], b"hello")
    old = await client.ended(made)
    assert old["status"] == "completed"
    new = (await client.call("POST", f"/api/v1/executions/{made['execution_id']}/retry")).body
    assert (new["input_files"], new["upload_urls"]) == (["in.txt"], None)
    assert (await client.ended(new))["status"] == "completed"
    ids = [
        next(a["artifact_id"] for a in await client.artifacts(one["execution_id"]) if a["artifact_type"] == "input")
        for one in (old, new)
    ]
    assert ids[0] != ids[1]
    assert (await client.call("DELETE", f"/api/v1/files/{ids[0]}")).status == 204
    third = (await client.call("POST", f"/api/v1/executions/{new['execution_id']}/retry")).body
    assert (await client.ended(third))["status"] == "completed"


async def test_running_again_waits_for_the_same_upload_where_it_has_not_come(
    quiet: Client, hands: PlainWorker, anybody: Caller
) -> None:
    made = await quiet.run(COPY, input_files=["in.txt"])
    new = (await quiet.call("POST", f"/api/v1/executions/{made['execution_id']}/retry")).body
    assert list(new["upload_urls"]) == ["in.txt"]
    assert await hands.poll(0.2) is None
    await plain(anybody, "PUT", made["upload_urls"]["in.txt"], b"x")
    taken = {(await hands.take())["job_id"], (await hands.take())["job_id"]}
    assert taken == {made["execution_id"], new["execution_id"]}


async def test_running_again_asks_anew_for_an_input_that_was_deleted(
    quiet: Client, hands: PlainWorker, anybody: Caller
) -> None:
    made = await quiet.run(COPY, input_files=["in.txt"])
    await plain(anybody, "PUT", made["upload_urls"]["in.txt"], b"x")
    task = await hands.take()
    await quiet.call("DELETE", f"/api/v1/files/{task['params']['inputs'][0]['file_id']}")
    new = (await quiet.call("POST", f"/api/v1/executions/{made['execution_id']}/retry")).body
    assert list(new["upload_urls"]) == ["in.txt"]
    assert new["upload_urls"]["in.txt"].partition("?")[0] != made["upload_urls"]["in.txt"].partition("?")[0]


async def test_what_a_job_says_of_its_uploads_gives_no_url_for_those_of_others(quiet: Client) -> None:
    planned = await new_client(quiet).call("POST", "/api/v1/files/signed-upload", {"name": "secret.txt"})
    assert planned.status == 201, planned
    labels = {"uploads": {"a": planned.body["file_id"], "b": "../x", "c": "0" * 32, "d": 7}}
    mine = (await quiet.call("POST", "/api/v1/files?name=a", data=b"x")).body["file_id"]
    inputs = [{"name": "a", "file_id": mine}]
    job_id = await quiet.start("command", argv=["true"], inputs=inputs, labels=labels)
    assert (await quiet.execution(job_id))["upload_urls"] is None
    (listed,) = (await quiet.call("GET", "/api/v1/executions")).body
    assert listed["upload_urls"] is None
    again = await quiet.call("POST", f"/api/v1/executions/{job_id}/retry")
    assert again.status == 200, again.body
    assert again.body["upload_urls"] is None
    assert planned.body["file_id"] not in str(again.body)


async def test_what_was_sent_is_not_asked_for_any_more(quiet: Client, anybody: Caller) -> None:
    made = await quiet.run(COPY, input_files=["a.txt", "b.txt"])
    await plain(anybody, "PUT", made["upload_urls"]["a.txt"], b"x")
    assert list((await quiet.execution(made["execution_id"]))["upload_urls"]) == ["b.txt"]
