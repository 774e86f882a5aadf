"""Artifacts over the API of document 003."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import pytest
from muster.surfaces.monitor import models

from tests.conformance.monitor.conftest import NEVER, Monitor
from tests.system.callers import Reply
from tests.system.processes import Cluster

BOUNDARY = "a-boundary"
REPORT = b"<h1>Report</h1>"
KEEPS = "echo STEP_START:save; for name in {}; do echo data > $name; echo ARTIFACT:$name:made; done"


@dataclass
class Form:
    """A form of multipart/form-data, in the order in which its parts are added."""

    parts: list[bytes] = field(default_factory=list[bytes])

    def text(self, name: str, value: str) -> "Form":
        return self._add(f'name="{name}"', value.encode())

    def file(self, content: bytes = REPORT, filename: str = "report.html", media_type: str = "") -> "Form":
        said = f'name="file"; filename="{filename}"'
        return self._add(said + (f"\r\nContent-Type: {media_type}" if media_type else ""), content)

    def _add(self, said: str, content: bytes) -> "Form":
        head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {said}\r\n\r\n".encode()
        self.parts.append(head + content + b"\r\n")
        return self

    async def send(self, client: Monitor) -> Reply:
        body = b"".join(self.parts) + f"--{BOUNDARY}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        return await client.call("POST", "/api/artifacts", data=body, headers=headers)


async def uploaded(form: Form, client: Monitor) -> dict[str, Any]:
    reply = await form.send(client)
    assert reply.status == 201, (reply.status, reply.raw)
    assert list(reply.body["data"]) == ["artifact"]
    artifact: dict[str, Any] = reply.body["data"]["artifact"]
    assert reply.headers["Location"] == f"/api/artifacts/{artifact['id']}"
    return artifact


async def refused(form: Form, client: Monitor) -> tuple[int, str]:
    reply = await form.send(client)
    assert (reply.body["success"], reply.body["data"]) == (False, None)
    return reply.status, reply.body["error"]


async def kept(client: Monitor, *names: str) -> dict[str, Any]:
    """Details of an execution that made these files."""
    return await client.done(["sh", "-c", KEEPS.format(" ".join(names))])


async def listed(client: Monitor, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = await client.data("GET", f"/api/artifacts{query}")
    return found


@pytest.fixture
async def execution_id(client: Monitor) -> str:
    execution: dict[str, Any] = (await client.done("true"))["execution"]
    return str(execution["id"])


async def test_an_upload_becomes_an_artifact_of_the_execution(client: Monitor, execution_id: str) -> None:
    form = Form().text("execution_id", execution_id).text("name", "Output Report")
    form.text("description", "Generated report").text("artifact_type", "data").text("tags", "report").file()
    artifact = await uploaded(form, client)
    models.Artifact.model_validate(artifact)
    assert len(artifact) == 15
    assert {name: artifact[name] for name in ("execution_id", "step_id", "name", "description", "artifact_type")} == {
        "execution_id": execution_id,
        "step_id": None,
        "name": "Output Report",
        "description": "Generated report",
        "artifact_type": "data",
    }
    assert (artifact["file_name"], artifact["file_size"]) == ("report.html", len(REPORT))
    assert (artifact["mime_type"], artifact["tags"]) == ("text/html", ["report"])
    assert (artifact["is_public"], artifact["retention_days"]) == (True, 30)
    assert artifact["download_url"] == f"/api/artifacts/{artifact['id']}/download"
    assert (await client.details(execution_id))["artifacts"] == [artifact]
    assert await client.data("GET", f"/api/artifacts/{artifact['id']}") == {"artifact": artifact}


async def test_the_storage_key_is_no_path_of_the_server(client: Monitor, execution_id: str, cluster: Cluster) -> None:
    artifact = await uploaded(Form().text("execution_id", execution_id).text("name", "n").file(), client)
    assert not artifact["file_path"].startswith("/")
    assert str(cluster.folder) not in artifact["file_path"]


async def test_the_file_may_come_before_the_fields_that_say_what_it_is(client: Monitor, execution_id: str) -> None:
    content = b"0123456789abcdef" * 65_536
    form = Form().file(content, "big.bin").text("name", "late").text("execution_id", execution_id)
    artifact = await uploaded(form, client)
    assert (artifact["name"], artifact["file_size"]) == ("late", len(content))
    reply = await client.call("GET", artifact["download_url"])
    assert hashlib.sha256(reply.raw).digest() == hashlib.sha256(content).digest()


async def test_a_file_of_a_form_that_is_refused_leaves_nothing(
    client: Monitor, execution_id: str, cluster: Cluster
) -> None:
    before = cluster.files()
    assert (await refused(Form().file().text("execution_id", execution_id), client))[0] == 400
    assert (await refused(Form().file().text("execution_id", NEVER).text("name", "n"), client))[0] == 404
    assert cluster.files() == before


async def test_an_artifact_may_belong_to_a_step(client: Monitor) -> None:
    details = await client.done(["sh", "-c", "echo STEP_START:a; echo STEP_START:b"])
    step_id = details["steps"][1]["id"]
    form = Form().text("execution_id", details["execution"]["id"]).text("step_id", step_id).text("name", "n").file()
    artifact = await uploaded(form, client)
    assert artifact["step_id"] == step_id
    assert (await listed(client, f"?step_id={step_id}"))["artifacts"] == [artifact]
    assert (await listed(client, f"?step_id={details['steps'][0]['id']}"))["total_count"] == 0


async def test_an_artifact_may_belong_to_a_state_of_another_blueprint(client: Monitor) -> None:
    job_id = await client.start("approval_flow")
    await client.is_(job_id, "waiting_for_human")
    step_id = (await client.details(job_id))["steps"][-1]["id"]
    form = Form().text("execution_id", job_id).text("step_id", step_id).text("name", "n").file()
    assert (await uploaded(form, client))["step_id"] == step_id


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (['["a", "b,c"]'], ["a", "b,c"]),
        (["a, b ,,c"], ["a", "b", "c"]),
        (["a"], ["a"]),
        ([""], []),
        ([], []),
    ],
)
async def test_tags_may_be_repeated_or_an_array_or_words_between_commas(
    client: Monitor, execution_id: str, sent: list[str], expected: list[str]
) -> None:
    form = Form().text("execution_id", execution_id).text("name", "n")
    for tag in sent:
        form.text("tags", tag)
    assert (await uploaded(form.file(), client))["tags"] == expected


async def test_optional_fields_may_be_left_out_or_empty(client: Monitor, execution_id: str) -> None:
    form = Form().text("execution_id", execution_id).text("name", "n").text("step_id", "").text("artifact_type", "")
    artifact = await uploaded(form.text("description", "").text("other", "x").file(), client)
    assert (artifact["step_id"], artifact["description"], artifact["artifact_type"]) == (None, "", "document")


async def test_what_is_missing_or_wrong_in_a_form_is_400(client: Monitor, execution_id: str) -> None:
    def whole() -> Form:
        return Form().text("execution_id", execution_id).text("name", "n")

    for form in (
        Form().text("name", "n").file(),
        Form().text("execution_id", execution_id).file(),
        Form().text("execution_id", "").text("name", "n").file(),
        whole(),
        Form().text("execution_id", execution_id).text("name", "").file(),
        whole().text("artifact_type", "video").file(),
        whole().text("tags", "[1").file(),
        whole().text("tags", "[1]").file(),
        whole().text("name", "again").file(),
        whole().text("description", "x" * 4001).file(),
        whole().file().file(),
    ):
        status, text = await refused(form, client)
        assert status == 400, text
        assert text
    assert (await listed(client))["total_count"] == 0


async def test_a_body_that_is_no_form_is_400(client: Monitor) -> None:
    reply = await client.call("POST", "/api/artifacts", {"execution_id": NEVER})
    assert (reply.status, reply.body["success"]) == (400, False)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    for body in (b"", b"x", f"--{BOUNDARY}\r\n".encode()):
        reply = await client.call("POST", "/api/artifacts", data=body, headers=headers)
        assert (reply.status, reply.body["success"]) == (400, False)


async def test_an_unknown_execution_or_step_is_404(client: Monitor, other_client: Monitor, execution_id: str) -> None:
    for unknown in (NEVER, "uuid-string"):
        form = Form().text("execution_id", unknown).text("name", "n").file()
        assert await refused(form, client) == (404, "Execution not found")
    form = Form().text("execution_id", execution_id).text("name", "n").file()
    assert await refused(form, other_client) == (404, "Execution not found")
    for unknown in (f"{execution_id}-0", f"{NEVER}-0", "step-uuid"):
        form = Form().text("execution_id", execution_id).text("step_id", unknown).text("name", "n").file()
        assert await refused(form, client) == (404, "Step not found")


async def test_a_file_over_the_limit_is_413(make_small: Monitor) -> None:
    execution_id = await make_small.run("true")
    for form in (
        Form().text("execution_id", execution_id).text("name", "n").file(b"x" * 5000),
        Form().file(b"x" * 5000).text("execution_id", execution_id).text("name", "n"),
    ):
        status, text = await refused(form, make_small)
        assert (status, "4096" in text) == (413, True)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", "document"),
        ("a.html", "document"),
        ("a.pdf", "document"),
        ("a.md", "document"),
        ("a.png", "image"),
        ("a.svg", "image"),
        ("a.csv", "data"),
        ("a.json", "data"),
        ("a.parquet", "data"),
        ("a.xml", "data"),
        ("a.log", "log"),
        ("a.zip", "archive"),
        ("a.tar", "archive"),
        ("a.tar.gz", "archive"),
        ("a.bin", "other"),
    ],
)
async def test_the_type_is_taken_from_the_name_where_nobody_gave_it(
    anybody: Monitor, shared_execution: str, name: str, kind: str
) -> None:
    form = Form().text("execution_id", shared_execution).text("name", "n").file(filename=name)
    assert (await uploaded(form, anybody))["artifact_type"] == kind


async def test_the_type_is_taken_from_the_media_type_where_the_name_says_nothing(
    anybody: Monitor, shared_execution: str
) -> None:
    for media_type, kind in (("image/x-own", "image"), ("text/x-own", "document"), ("application/x-own", "other")):
        form = Form().text("execution_id", shared_execution).text("name", "n")
        artifact = await uploaded(form.file(filename="a", media_type=media_type), anybody)
        assert (artifact["mime_type"], artifact["artifact_type"]) == (media_type, kind)


async def test_artifacts_are_listed_newest_first_by_pages(client: Monitor) -> None:
    first = (await kept(client, "a.csv"))["execution"]["id"]
    second = (await kept(client, "b.log"))["execution"]["id"]
    late = await uploaded(Form().text("execution_id", first).text("name", "late").file(), client)
    page = await listed(client)
    assert set(page) == {"artifacts", "total_count", "has_more"}
    assert [artifact["name"] for artifact in page["artifacts"]] == ["late", "b.log", "a.csv"]
    assert (page["total_count"], page["has_more"]) == (3, False)
    page = await listed(client, "?limit=1&offset=1")
    assert [artifact["name"] for artifact in page["artifacts"]] == ["b.log"]
    assert (page["total_count"], page["has_more"]) == (3, True)
    page = await listed(client, f"?execution_id={first}")
    assert (page["artifacts"][0]["id"], page["total_count"]) == (late["id"], 2)
    assert (await listed(client, "?artifact_type=log"))["artifacts"][0]["execution_id"] == second
    assert (await listed(client, "?artifact_type=image"))["total_count"] == 0


async def test_artifacts_of_an_unknown_execution_are_none(client: Monitor, other_client: Monitor) -> None:
    execution_id = (await kept(client, "a.csv"))["execution"]["id"]
    for query in (f"?execution_id={NEVER}", "?execution_id=x", "?execution_id="):
        assert await listed(client, query) == {"artifacts": [], "total_count": 0, "has_more": False}
    assert (await listed(other_client, f"?execution_id={execution_id}"))["total_count"] == 0
    assert (await listed(other_client))["total_count"] == 0


@pytest.mark.parametrize("query", ["artifact_type=video", "artifact_type=", "limit=0", "limit=1001", "offset=-1"])
async def test_a_parameter_out_of_bounds_is_400(client: Monitor, query: str) -> None:
    assert await client.error("GET", f"/api/artifacts?{query}", status=400)


async def test_a_download_is_the_bytes_under_their_name(client: Monitor, execution_id: str) -> None:
    artifact = await uploaded(Form().text("execution_id", execution_id).text("name", "n").file(), client)
    reply = await client.call("GET", artifact["download_url"])
    assert (reply.status, reply.raw) == (200, REPORT)
    assert reply.headers["Content-Type"] == "text/html"
    assert reply.headers["Content-Disposition"] == 'attachment; filename="report.html"'
    part = await client.call("GET", artifact["download_url"], headers={"Range": "bytes=1-2"})
    assert (part.status, part.raw) == (206, REPORT[1:3])


async def test_a_deleted_artifact_is_gone(client: Monitor, execution_id: str) -> None:
    artifact = await uploaded(Form().text("execution_id", execution_id).text("name", "n").file(), client)
    path = f"/api/artifacts/{artifact['id']}"
    assert await client.data("DELETE", path) == {"message": "Artifact deleted successfully"}
    for method, gone in (("GET", path), ("GET", f"{path}/download"), ("DELETE", path)):
        assert await client.error(method, gone, status=404) == "Artifact not found"
    assert (await listed(client))["total_count"] == 0
    assert (await client.details(execution_id))["artifacts"] == []


async def test_unknown_artifacts_and_those_of_others_are_404(
    client: Monitor, other_client: Monitor, execution_id: str
) -> None:
    artifact = await uploaded(Form().text("execution_id", execution_id).text("name", "n").file(), client)
    for caller, artifact_id in ((client, "artifact-uuid"), (client, "0" * 48), (other_client, artifact["id"])):
        path = f"/api/artifacts/{artifact_id}"
        for method, asked in (("GET", path), ("GET", f"{path}/download"), ("DELETE", path)):
            assert await caller.error(method, asked, status=404) == "Artifact not found"


async def test_an_upload_that_belongs_to_no_execution_is_no_artifact(client: Monitor) -> None:
    reply = await client.call("POST", "/api/v1/files?name=a.txt", data=b"x")
    assert reply.status == 201
    assert await client.error("GET", f"/api/artifacts/{reply.body['file_id']}", status=404)
    assert (await listed(client))["total_count"] == 0
