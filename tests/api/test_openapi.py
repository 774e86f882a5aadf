"""The description fits the server."""

from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from muster.api.app import create_app
from muster.api.call import EDGE
from muster.api.openapi import OPENAPI_3_1
from muster.api.operations import Auth
from muster.api.routes import OPERATIONS
from muster.settings import Settings
from muster.surfaces import table

from tests.api.conftest import Http, credentials
from tests.api.fake_engine import FakeEngine

SURFACES = tuple(row for rows in table.OPERATIONS.values() for row in rows)


@pytest.fixture
async def description(http: Http) -> dict[str, Any]:
    found: dict[str, Any] = await (await http.get("/openapi.json")).json()
    return found


def test_it_is_valid_openapi_3_1(description: dict[str, Any]) -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    assert description["openapi"] == "3.1.0"
    validator.validate(description)


async def test_what_the_docs_page_reads_is_valid_openapi_3_0(http: Http) -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    older = await (await http.get("/_public/docs/openapi.json")).json()
    assert older["openapi"].startswith("3.0.")
    validator.validate(older)


def test_no_start_of_a_server_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muster.api.openapi.ModelSchemas", None)
    reference = create_app(FakeEngine(), Settings(), credentials())[EDGE].reference
    with pytest.raises(TypeError):
        reference.json(OPENAPI_3_1)


def test_every_row_of_the_table_is_in_it(description: dict[str, Any]) -> None:
    for row in OPERATIONS:
        if not row.hidden and "…" not in row.path:
            assert description["paths"][row.path][row.method.lower()]["summary"] == row.summary


def test_blueprints_are_in_it_with_their_input(description: dict[str, Any]) -> None:
    row = description["paths"]["/api/v2/shop/orders/new"]["post"]
    body = row["requestBody"]["content"]["application/json"]["schema"]
    reference = body["properties"]["initial_data"]["$ref"]
    schema = description["components"]["schemas"][reference.rpartition("/")[2]]
    assert schema["properties"]["lines"]["items"]["$ref"].startswith("#/components/schemas/orders_input_")


def test_tags_and_security_are_declared(description: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in description["tags"]}
    schemes = set(description["components"]["securitySchemes"])
    for methods in description["paths"].values():
        for row in methods.values():
            assert set(row["tags"]) <= tags
            assert {name for choice in row["security"] for name in choice} <= schemes
    assert description["paths"]["/_worker/tasks/result"]["post"]["security"] == [{"WorkerToken": []}]
    assert len(description["paths"]["/api/v1/jobs"]["get"]["security"]) == 3


async def test_operations_of_all_surfaces_have_ids_of_their_own_whatever_they_are_called() -> None:
    twins = tuple(replace(row, path=f"/other{row.path}") for row in SURFACES if "…" not in row.path)
    rows = (*OPERATIONS, *SURFACES, *twins, *(replace(row, path=f"/third{row.path}") for row in twins))
    app = create_app(FakeEngine(), Settings(), credentials(), operations=rows)
    async with TestClient(TestServer(app)) as client:
        document = await (await client.get("/openapi.json")).json()
    shown = [(row.path, row.method.lower()) for row in rows if not row.hidden and "…" not in row.path]
    ids = [document["paths"][path][method]["operationId"] for path, method in shown]
    assert len(ids) == len(set(ids))
    names = {row.name for row in OPERATIONS if not row.hidden and "…" not in row.path}
    assert names <= set(ids), "what a generated client of the core calls stays as it is"


def test_operation_ids_are_unique(description: dict[str, Any]) -> None:
    ids = [row["operationId"] for methods in description["paths"].values() for row in methods.values()]
    assert len(ids) == len(set(ids))


async def test_every_surface_has_its_chapter_and_says_who_may_call() -> None:
    app = create_app(FakeEngine(), Settings(), credentials(), operations=(*OPERATIONS, *SURFACES))
    async with TestClient(TestServer(app)) as client:
        document = await (await client.get("/openapi.json")).json()
    tags = {tag["name"] for tag in document["tags"]}
    for row in (row for row in SURFACES if not row.hidden):
        described = document["paths"][row.path][row.method.lower()]
        assert set(described["tags"]) <= tags
        is_open = row.auth in {Auth.CLIENT_IF_ANY, Auth.MONITOR}
        assert ({} in described["security"]) is is_open, row.path


async def test_an_artifact_is_sent_as_a_form_with_its_fields() -> None:
    app = create_app(FakeEngine(), Settings(), credentials(), operations=(*OPERATIONS, *SURFACES))
    async with TestClient(TestServer(app)) as client:
        paths = (await (await client.get("/openapi.json")).json())["paths"]
    schema = paths["/api/artifacts"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    fields = {"file", "execution_id", "name", "step_id", "description", "artifact_type", "tags"}
    assert set(schema["properties"]) == fields
    assert set(schema["required"]) == {"file", "execution_id", "name"}
    schema = paths["/upload"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(schema["properties"]) == {"file"}
