"""What can be run, where it is described, and whether the server is well."""

from pathlib import Path
from typing import Any

import pytest

from tests.conformance.cli.conftest import Cli, at
from tests.system.processes import Cluster

MEMBERS = {"name", "flags", "positional", "required", "nargs", "choices", "default", "type", "help", "example"}


async def test_commands_are_listed_by_stage_with_the_schema_of_their_arguments(cli: Cli) -> None:
    reply = await cli.call("GET", "/cli/commands")
    assert (reply.status, list(reply.body)) == (200, ["demo"])
    demo = reply.body["demo"]
    assert demo["commands"] == ["echo", "fail", "copy", "tick"]
    assert list(demo["schema"]) == demo["commands"]
    arguments = [one for schema in demo["schema"].values() for one in schema]
    assert all(one.keys() >= MEMBERS for one in arguments)
    copy = {one["name"]: one for one in demo["schema"]["copy"]}
    assert copy["input"]["required"]
    assert copy["input"]["flags"] == ["--input"]
    assert copy["input"]["example"].startswith("file_id:")
    assert (demo["schema"]["fail"][0]["default"], demo["schema"]["fail"][0]["type"]) == (1, "int")


async def test_stages_come_from_the_file_that_the_settings_name(strict: Cli) -> None:
    commands = (await strict.call("GET", "/cli/commands")).body
    assert {stage: one["commands"] for stage, one in commands.items()} == {"text": ["upper", "slow", "list"]}
    examples = (await strict.call("GET", "/cli/examples")).body["examples"]
    assert examples == [
        {
            "name": "Words",
            "description": "",
            "request": {"stage": "text", "command": "list", "args": {"_positional": ["a", "b"]}, "mode": "sync"},
        }
    ]


async def test_every_example_is_a_body_that_can_be_run(cli: Cli) -> None:
    examples = (await cli.call("GET", "/cli/examples")).body["examples"]
    assert len(examples) >= 4
    assert any("pipeline_config" in example for example in examples)
    file_id = await cli.upload("data.csv", b"x")
    for example in examples:
        assert example["name"]
        request = dict(example["request"])
        request["args"] = {
            name: f"file_id:{file_id}" if str(value).startswith("file_id:") else value
            for name, value in request["args"].items()
        }
        reply = await cli.call("POST", "/cli/run", request)
        assert (reply.status, reply.body["status"] in {"success", "error", "accepted"}) == (200, True), example


async def test_the_description_has_the_documented_tags_on_every_operation_of_the_surface(anybody: Cli) -> None:
    document = (await anybody.call("GET", "/openapi.json")).body
    assert {tag["name"] for tag in document["tags"]} >= {"cli", "files", "jobs", "ws", "system"}
    expected = {
        ("get", "/cli/commands"): "cli",
        ("get", "/cli/examples"): "cli",
        ("post", "/cli/run"): "cli",
        ("get", "/examples"): "cli",
        ("post", "/upload"): "files",
        ("get", "/jobs/{job_id}"): "jobs",
        ("delete", "/jobs/{job_id}"): "jobs",
        ("get", "/jobs/{job_id}/manifest"): "jobs",
        ("get", "/jobs/{job_id}/download"): "jobs",
        ("get", "/ws/jobs/{id}"): "ws",
        ("get", "/health"): "system",
        ("get", "/ready"): "system",
    }
    found = {place: document["paths"][place[1]][place[0]]["tags"] for place in expected}
    assert found == {place: [tag] for place, tag in expected.items()}
    assert "multipart/form-data" in document["paths"]["/upload"]["post"]["requestBody"]["content"]


async def test_the_description_is_valid(anybody: Cli) -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate((await anybody.call("GET", "/openapi.json")).body)
    validator.validate((await anybody.call("GET", "/docs/openapi.json")).body)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/health", "/ready", "/examples"])
async def test_what_describes_the_server_needs_no_key(anybody: Cli, path: str) -> None:
    assert (await anybody.call("GET", path)).status == 200


@pytest.mark.parametrize(
    "path",
    ["/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/start.js", "/examples/page.js", "/examples/page.css"],
)
async def test_pages_are_given_their_files_by_this_server(anybody: Cli, path: str) -> None:
    reply = await anybody.call("GET", path)
    assert (reply.status, len(reply.raw) > 100) == (200, True)
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]


async def test_the_page_of_examples_holds_no_script_and_loads_nothing_from_elsewhere(anybody: Cli) -> None:
    reply = await anybody.call("GET", "/examples")
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = reply.headers["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "://" not in policy
    page = reply.raw.decode()
    assert "onclick" not in page
    assert "style=" not in page
    assert page.count("<script") == page.count('<script src="examples/page.js" defer></script>') == 1
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page
    assert (await anybody.call("GET", "/examples/page.html")).status == 404
    assert (await anybody.call("GET", "/examples/%2e%2e%2frun.py")).status == 404


async def test_the_page_of_examples_can_be_closed_to_those_without_a_key(strict: Cli) -> None:
    key = strict.headers["X-API-Key"]
    for path, headers, status in (
        ("/examples", {}, 401),
        ("/examples?api_key=wrong", {}, 401),
        (f"/examples?api_key={key}", {}, 200),
        ("/examples", {"X-API-Key": key}, 200),
        ("/examples", {"Authorization": f"Bearer {key}"}, 200),
    ):
        reply = await Cli(strict.session, strict.url).call("GET", path, headers=headers)
        assert reply.status == status, (path, headers)


async def test_health_tells_the_version(anybody: Cli) -> None:
    body = (await anybody.call("GET", "/health")).body
    assert body["status"] == "ok"
    assert isinstance(body["version"], str)


async def test_ready_tells_what_was_checked(anybody: Cli) -> None:
    body = (await anybody.call("GET", "/ready")).body
    assert (body["status"], isinstance(body["version"], str)) == ("ok", True)
    checks: dict[str, dict[str, Any]] = body["checks"]
    assert checks["upload_dir"].keys() == {"path", "exists", "writable", "probe"}
    assert (checks["upload_dir"]["exists"], checks["upload_dir"]["writable"]) == (True, True)
    assert checks["disk"]["free_mb"] > checks["disk"]["min_mb"] > 0
    assert checks["queue"] == {"mode": "redis", "connected": True}


async def test_ready_is_503_with_the_same_shape_where_uploads_have_no_place(
    cluster: Cluster, tmp_path: Path, http: Any
) -> None:
    (tmp_path / "taken").write_text("a file, where a folder is wanted")
    server = cluster.add_orchestrator(MUSTER_UPLOAD_DIR=str(tmp_path / "taken"))
    try:
        server.wait_until_ready()
        reply = await at(http, server, None).call("GET", "/ready")
    finally:
        server.close()
        cluster.orchestrators.remove(server)
    assert (reply.status, reply.body["status"]) == (503, "error")
    upload_dir = reply.body["checks"]["upload_dir"]
    assert (upload_dir["exists"], upload_dir["probe"]) == (False, "Not a directory")
    assert reply.body["checks"]["queue"]["connected"]
