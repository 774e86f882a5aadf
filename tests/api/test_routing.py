"""Which operation a request means."""

import pytest
from muster.api.app import create_app
from muster.api.operations import RouteCollisionError
from muster.settings import Settings

from tests.api.conftest import ALICE, ANY_WORKER, Http, credentials
from tests.api.fake_engine import FakeBlueprint, FakeBlueprints, FakeEngine, graph

JOB = "018f0000-0000-7000-8000-0000000000ff"


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/api/v1/jobs/simple_flow", 404, None),
        ("POST", "/api/v1/jobs/nothing", 404, None),
        ("POST", f"/api/v1/jobs/{JOB}", 404, None),
        ("POST", "/api/v1/nothing", 404, None),
        ("POST", "/api/v9/jobs/simple_flow", 404, None),
        ("POST", "/api/v1/jobs/simple_flow/", 404, None),
        ("POST", "/api/v1/jobs//simple_flow", 404, None),
        ("POST", "/api/v1", 404, None),
        ("POST", "/api", 404, None),
        ("GET", "/api/v2/shop/orders/new", 404, None),
        ("DELETE", "/api/v2/shop/orders/new", 404, None),
        ("POST", "/api/v1/workers", 405, "GET, HEAD"),
        ("POST", "/api/v1/dashboard", 405, "GET, HEAD"),
        ("POST", "/api/v1/jobs", 405, "GET, HEAD"),
        ("POST", f"/api/v1/jobs/{JOB}/history", 405, "GET, HEAD"),
        ("PUT", f"/api/v1/jobs/{JOB}", 405, "DELETE, GET, HEAD"),
        ("GET", f"/api/v1/jobs/{JOB}/cancel", 405, "POST"),
        ("DELETE", "/_public/status", 405, "GET, HEAD"),
        ("GET", "/_worker/tasks/result", 405, "POST"),
        ("GET", "/_worker/workers/w1", 405, "PATCH"),
        ("GET", "/_worker/workers/register", 405, "PATCH, POST"),
        ("HEAD", "/_worker/workers/w1/tasks/next", 405, "GET"),
        ("OPTIONS", "/api/v1/workers", 405, "GET, HEAD"),
        ("GET", "/", 404, None),
        ("GET", "/nothing", 404, None),
        ("GET", "/api/v1/workers/", 404, None),
        ("GET", "/api/executions/workers", 404, None),
        ("PROPFIND", "/nothing", 404, None),
    ],
)
async def test_precedence(http: Http, method: str, path: str, status: int, allow: str | None) -> None:
    answer = await http.request(method, path, headers={**ALICE, **ANY_WORKER})
    assert answer.status == status
    assert answer.headers.get("Allow") == allow
    if method != "HEAD":
        document = await answer.json()
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert document["instance"] == path
        assert document["code"] in {"not_found", "job_not_found", "method_not_allowed"}


async def test_a_worker_may_be_called_register(http: Http) -> None:
    assert (await http.patch("/_worker/workers/register", headers=ANY_WORKER)).status == 404
    await http.post("/_worker/workers/register", json={"worker_id": "register"}, headers=ANY_WORKER)
    assert (await http.patch("/_worker/workers/register", headers=ANY_WORKER)).status == 200


async def test_common_client_routes_answer_under_every_version_that_a_blueprint_uses(http: Http) -> None:
    created = await http.post("/api/v2/shop/orders/new", headers=ALICE)
    location = created.headers["Location"]
    assert location.startswith("/api/v2/jobs/")
    assert (await http.get(location, headers=ALICE)).status == 200
    assert (await http.get("/api/v2/dashboard", headers=ALICE)).status == 200
    assert (await http.get("/api/v3/dashboard", headers=ALICE)).status == 404


async def test_percent_encoded_slashes_do_not_make_segments(http: Http) -> None:
    assert (await http.get(f"/api/v1/jobs/{JOB}%2Fhistory", headers=ALICE)).status == 404
    encoded = await http.post("/api/v1/jobs/simple%5Fflow", headers=ALICE)
    assert encoded.status == 202


@pytest.mark.parametrize(
    ("version", "endpoint"),
    [
        ("v1", "workers"),
        ("v1", "jobs"),
        ("v2", "dashboard"),
        ("v1", "jobs/x/cancel"),
        ("v1", "jobs/x/history"),
        ("v1", "blueprints/x/graph"),
        ("executions", "run"),
        ("artifacts", "x"),
        ("health", "x"),
    ],
)
def test_a_blueprint_that_would_shadow_a_fixed_url_stops_the_server(version: str, endpoint: str) -> None:
    registry = FakeBlueprints([FakeBlueprint("odd", endpoint, graph("odd"), api_version=version)])
    with pytest.raises(RouteCollisionError, match="odd"):
        create_app(FakeEngine(registry), Settings(), credentials())
