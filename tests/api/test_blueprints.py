"""Blueprints that are data, over HTTP, on a real engine with a store in memory."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml
from aiohttp.test_utils import TestClient, TestServer
from muster.api.app import create_app
from muster.api.auth import Client, Credentials, digest_of
from muster.blueprint import Blueprint, Job, Next
from muster.blueprint.registry import Registry
from muster.engine.engine import Engine
from muster.engine.settings import EngineSettings
from muster.engine.views import TaskReport, WorkerDescription
from muster.observe.metrics import Metrics
from muster.settings import Settings
from muster.store.memory import MemoryState, MemoryStore
from pydantic import SecretStr

from tests.api.conftest import Http

ALICE = {"X-Client-Token": "alice-token"}
OPS = {"X-Client-Token": "ops-token"}
HELLO: dict[str, Any] = {"start": "hello", "states": {"hello": {"done": {"said": "hello ${input.name}"}}}}
WAITS: dict[str, Any] = {
    "start": "wait",
    "states": {"wait": {"wait_for": "go", "ok": "after"}, "after": {"done": "${argument}"}},
}


def code() -> Registry:
    registry = Registry()
    orders = Blueprint("orders")

    @orders.start
    async def begin(job: Job) -> Next:
        return job.done("code")

    registry.add(orders)
    return registry


class Replica:
    def __init__(self, http: Http, engine: Engine) -> None:
        self.http, self.engine = http, engine

    async def put(self, name: str, spec: object, *, status: int = 201, query: str = "", **headers: str) -> Any:
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        answer = await self.http.put(f"/api/v1/blueprints/{name}{query}", json=spec, headers={**ALICE, **sent})
        body = await answer.json()
        assert answer.status == status, body
        return body

    async def get(self, path: str) -> Any:
        return await (await self.http.get(path, headers=ALICE)).json()

    async def run(self, name: str, data: object = None) -> Any:
        headers = {**ALICE, "Prefer": "wait=5"}
        answer = await self.http.post(f"/api/v1/jobs/{name}", json={"initial_data": data or {}}, headers=headers)
        return await answer.json()

    async def begin(self, name: str) -> str:
        answer = await self.http.post(f"/api/v1/jobs/{name}", json={"initial_data": {}}, headers=ALICE)
        job_id: str = (await answer.json())["job_id"]
        return job_id

    async def work(self, kind: str, data: Any) -> Any:
        """As a worker that does one task of that kind: its params."""
        await self.engine.register(WorkerDescription("w1", (kind,), protocol=1))
        (lease,) = await self.engine.poll("w1", timeout_ms=5_000, max_tasks=1)
        done = TaskReport(lease.job_id, lease.task_id, "w1", "success", data, attempt=lease.attempt, fence=lease.fence)
        await self.engine.report(done, next_tasks=0)
        return lease.body["params"]


@pytest.fixture
async def replicas() -> AsyncIterator[list[Replica]]:
    """Two servers on one store; each has the blueprint `orders` in its code."""
    state, made = MemoryState(), list[Replica]()
    for name in ("r1", "r2"):
        engines: list[Engine] = []

        def on_message(partition: int, text: str, engines: list[Engine] = engines) -> None:
            engines[0].on_message(partition, text)

        store = MemoryStore(state, replica=name, on_message=on_message)
        await store.open()
        engine = Engine(store, code(), EngineSettings(name), Metrics(version="0"), "secret")
        engines.append(engine)
        await engine.publish_blueprints()
        engine.start()
        made.append(await served(engine))
    yield made
    for replica in made:
        await replica.http.close()
        await replica.engine.stop()


async def served(engine: Engine, **settings: Any) -> Replica:
    credentials = Credentials(
        clients={
            digest_of(b"alice-token"): Client("alice", "alice"),
            digest_of(b"ops-token"): Client("ops", "ops", is_operator=True),
        }
    )
    http: Http = TestClient(TestServer(create_app(engine, Settings(**settings), credentials)))
    await http.start_server()
    return Replica(http, engine)


@pytest.fixture
def one(replicas: list[Replica]) -> Replica:
    return replicas[0]


async def test_what_is_put_runs_on_every_replica_at_once(replicas: list[Replica]) -> None:
    saved = await replicas[0].put("greet", HELLO)
    assert (saved["name"], saved["url"], saved["is_new"]) == ("greet", "/api/v1/jobs/greet", True)
    for replica in replicas:
        job = await replica.run("greet", {"name": "ann"})
        assert (job["status"], job["result"]) == ("finished", {"said": "hello ann"})
        shown = await replica.get("/api/v1/blueprints/greet")
        assert (shown["version"], shown["source"], shown["spec"]) == (
            saved["version"],
            "api",
            {"name": "greet", **HELLO},
        )


async def test_yaml_is_taken_as_json_is(one: Replica) -> None:
    headers = {**ALICE, "Content-Type": "application/yaml"}
    answer = await one.http.put("/api/v1/blueprints/greet", data=yaml.safe_dump(HELLO), headers=headers)
    assert answer.status == 201
    assert (await one.put("greet", HELLO, status=200))["is_new"] is False
    graph = await one.get("/api/v1/blueprints/greet/graph?format=json")
    assert graph["states"] == ["hello"]


async def test_the_same_again_is_no_new_version_and_other_content_is(one: Replica) -> None:
    first = await one.put("greet", HELLO)
    assert first["version"].startswith("1:")
    again = await one.put("greet", dict(reversed(HELLO.items())), status=200)
    assert again["version"] == first["version"]
    second = await one.put("greet", {**HELLO, "description": "new"})
    assert second["version"].startswith("2:")
    back = await one.put("greet", HELLO, status=200)
    assert back["version"] == first["version"]
    assert (await one.get("/api/v1/blueprints/greet"))["version"] == first["version"]


async def test_a_job_goes_on_with_the_version_that_it_began_with(one: Replica) -> None:
    await one.put("greet", WAITS)
    submitted = await one.http.post("/api/v1/jobs/greet", json={"initial_data": {}}, headers=ALICE)
    job_id = (await submitted.json())["job_id"]
    await one.put("greet", HELLO)
    await one.http.post(f"/api/v1/jobs/{job_id}/signals/go", json={"a": 1}, headers=ALICE)
    job = await one.get(f"/api/v1/jobs/{job_id}?wait=5")
    assert (job["status"], job["result"]) == ("finished", {"a": 1})


async def test_every_problem_is_told_with_its_pointer_and_nothing_is_saved(one: Replica) -> None:
    bad = {"start": "a", "states": {"a": {"go": "nowhere"}, "b": {"done": "${inptu.x}"}, "c": {"sleep": "soon"}}}
    problem = await one.put("greet", bad, status=400)
    assert problem["code"] == "blueprint_invalid"
    told = {error["pointer"]: error["detail"] for error in problem["errors"]}
    assert set(told) == {"/states/a/go", "/states/b/done", "/states/c", "/states/c/sleep"}
    assert next(error for error in problem["errors"] if error["pointer"] == "/states/b/done")["column"] == 3
    assert await one.get("/api/v1/blueprints/greet") | {"code": "blueprint_not_found"}
    assert (await one.run("greet"))["code"] == "not_found"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [x, x]\nb: &b [*a, *a]\n" + "\n".join(
            f"{chr(99 + i)}: &{chr(99 + i)} [{', '.join([f'*{chr(98 + i)}'] * 9)}]" for i in range(12)), "values"),
        ("[" * 20_000, "nest"),
        ("a: !!python/object/apply:os.system [ls]", "tag"),
        ("start: a\nstart: b", "twice"),
        ("a: [", "not YAML"),
    ],
)  # fmt: skip
async def test_yaml_that_would_hurt_is_refused(one: Replica, text: str, said: str) -> None:
    headers = {**ALICE, "Content-Type": "application/yaml"}
    answer = await one.http.put("/api/v1/blueprints/greet", data=text, headers=headers)
    assert answer.status == 400
    assert said in (await answer.json())["detail"]


async def test_a_blueprint_of_the_code_is_not_changed_by_api(one: Replica) -> None:
    assert (await one.put("orders", HELLO, status=409))["code"] == "blueprint_in_code"
    gone = await one.http.delete("/api/v1/blueprints/orders", headers=ALICE)
    assert (await gone.json())["code"] == "blueprint_in_code"
    assert (await one.run("orders"))["result"] == "code"


@pytest.mark.parametrize("endpoint", ["jobs/orders", "workers", "jobs/x/cancel", "batches/b/cancel"])
async def test_a_url_that_is_taken_is_not_given_twice(one: Replica, endpoint: str) -> None:
    problem = await one.put("greet", {**HELLO, "endpoint": endpoint}, status=400)
    assert [error["pointer"] for error in problem["errors"]] == ["/endpoint"]


async def test_who_was_slower_is_told(one: Replica) -> None:
    first = await one.put("greet", HELLO, If_None_Match="*")
    other = {**HELLO, "description": "other"}
    assert (await one.put("greet", other, status=412, If_None_Match="*"))["code"] == "precondition_failed"
    second = await one.put("greet", other, If_Match=f'"{first["version"]}"')
    twice = await one.put("greet", other, status=200, If_Match=f'"{first["version"]}"')
    assert twice["version"] == second["version"]
    late = await one.put("greet", HELLO, status=412, If_Match=f'"{first["version"]}"')
    assert late["version"] == second["version"]
    assert (await one.put("gone", HELLO, status=412, If_Match="*"))["code"] == "precondition_failed"


async def test_a_blueprint_out_of_service_takes_no_jobs_and_keeps_those_it_has(replicas: list[Replica]) -> None:
    one, two = replicas
    await one.put("greet", WAITS)
    submitted = await two.http.post("/api/v1/jobs/greet", json={"initial_data": {}}, headers=ALICE)
    job_id = (await submitted.json())["job_id"]
    assert (await one.http.delete("/api/v1/blueprints/greet", headers=ALICE)).status == 204
    assert (await one.run("greet"))["code"] == "not_found"
    assert (await one.get("/api/v1/blueprints/greet"))["in_service"] is False
    await one.http.post(f"/api/v1/jobs/{job_id}/signals/go", json={}, headers=ALICE)
    assert (await one.get(f"/api/v1/jobs/{job_id}?wait=5"))["status"] == "finished"
    assert (await one.http.delete("/api/v1/blueprints/greet", headers=ALICE)).status == 404


async def test_in_production_only_operators_change_blueprints(replicas: list[Replica]) -> None:
    strict = await served(replicas[0].engine, mode="production", client_token=SecretStr("x" * 32))
    refused = await strict.http.put("/api/v1/blueprints/greet", json=HELLO, headers=ALICE)
    assert (refused.status, (await refused.json())["code"]) == (403, "forbidden")
    assert (await strict.http.put("/api/v1/blueprints/greet", json=HELLO, headers=OPS)).status == 201
    assert (await strict.http.get("/api/v1/blueprints/greet", headers=ALICE)).status == 200
    await strict.http.close()


async def test_a_share_of_new_jobs_begins_with_a_new_version(one: Replica) -> None:
    first = await one.put("greet", HELLO)
    second = await one.put("greet", {**HELLO, "states": {"hello": {"done": "new"}}}, query="?share=30")
    assert second["rollout"] == {"version": second["version"], "share": 30, "base": first["version"]}
    results = [(await one.run("greet"))["result"] for _ in range(60)]
    assert 5 <= results.count("new") <= 35
    await one.http.post("/api/v1/blueprints/greet/rollout/promote", headers=ALICE)
    assert (await one.run("greet"))["result"] == "new"
    body = {"version": "1", "share": 100}
    assert (await one.http.put("/api/v1/blueprints/greet/rollout", json=body, headers=ALICE)).status == 200
    assert (await one.run("greet"))["result"] != "new"
    answer = await one.http.delete("/api/v1/blueprints/greet/rollout", headers=ALICE)
    assert (await answer.json())["version"] == second["version"]
    assert (await one.run("greet"))["result"] == "new"
    again = await one.http.delete("/api/v1/blueprints/greet/rollout", headers=ALICE)
    assert (again.status, (await again.json())["code"]) == (404, "rollout_not_found")


# What decisions that are data can do


async def test_a_race_that_was_put_is_won_by_a_signal_and_what_was_done_is_undone(one: Replica) -> None:
    await one.put(
        "sale",
        {
            "start": "pay",
            "states": {
                "pay": {"run": "charge", "params": {"cents": 5}, "ok": "wait", "undo": "refund"},
                "wait": {
                    "race": [{"wait_for": "recalled", "ok": "stop"}, {"sleep": "1h", "then": "finished"}],
                    "cancelled": "failed",
                },
                "stop": {"fail": "recalled: ${argument.why}"},
            },
        },
    )
    graph = await one.get("/api/v1/blueprints/sale/graph?format=json")
    assert {"from": "wait", "label": "recalled: success", "to": "stop"} in graph["edges"]
    assert {"from": "wait", "label": "timer: then", "to": "finished"} in graph["edges"]
    assert graph["undos"] == [{"state": "pay", "task": "refund"}]
    job_id = await one.begin("sale")
    assert await one.work("charge", {"ref": "r1"}) == {"cents": 5}
    assert (await one.http.post(f"/api/v1/jobs/{job_id}/signals/recalled", json={"why": "rain"}, headers=ALICE)).ok
    assert await one.work("refund", None) == {"ref": "r1"}
    job = await one.get(f"/api/v1/jobs/{job_id}?wait=5")
    assert (job["status"], job["error_message"]) == ("failed", "recalled: rain")


async def test_a_form_that_was_put_is_shown_and_an_answer_has_to_fit(one: Replica) -> None:
    form = {"type": "object", "required": ["cents"], "properties": {"cents": {"type": "integer", "minimum": 1}}}
    ask = {"ask": "Pay?", "choices": {"yes": "end", "no": "failed"}, "forms": {"yes": form}}
    await one.put("pay", {"start": "ask", "states": {"ask": ask, "end": {"done": "${argument.form.cents}"}}})
    job_id = await one.begin("pay")
    (question,) = (await one.get("/api/v1/approvals"))["items"]
    assert question["forms"] == {"yes": form}
    for given, status in (({"cents": 0}, 400), ({"cents": 7}, 200)):
        body = {"decision": "yes", "form": given}
        answer = await one.http.post(f"/api/v1/jobs/{job_id}/decision", json=body, headers=ALICE)
        assert answer.status == status, await answer.text()
    assert (await one.get(f"/api/v1/jobs/{job_id}?wait=5"))["result"] == 7


async def test_a_result_is_held_against_the_schema_that_was_put(one: Replica) -> None:
    output = {"type": "object", "required": ["total"]}
    await one.put("sum", {"start": "end", "output": output, "states": {"end": {"done": "${input}"}}})
    assert (await one.get("/api/v1/blueprints/sum"))["output_schema"] == output
    assert (await one.run("sum", {"total": 3}))["result"] == {"total": 3}
    job = await one.run("sum")
    assert (job["status"], job["error_details"]["code"]) == ("quarantined", "invalid_output")


async def test_what_is_wrong_with_them_is_told_at_once_and_nothing_is_saved(one: Replica) -> None:
    bad: dict[str, Any] = {
        "start": "fan",
        "output": {"type": "txt"},
        "states": {
            "fan": {"race": [{"sleep": "5m", "then": "pay"}]},
            "pay": {"run": "charge", "ok": "ask", "undo": {"run": 3}},
            "ask": {"ask": "?", "choices": {"yes": "finished"}, "form": {"properties": {"a": {"type": "txt"}}}},
        },
    }
    problem = await one.put("greet", bad, status=400)
    assert problem["code"] == "blueprint_invalid"
    assert {error["pointer"] for error in problem["errors"]} == {
        "/states/fan/race", "/states/pay/undo/run", "/states/ask/form/properties/a/type", "/output/type",
    }  # fmt: skip
    assert (await one.get("/api/v1/blueprints/greet"))["code"] == "blueprint_not_found"


async def test_a_job_is_refused_where_a_file_that_its_input_names_is_not_there(one: Replica) -> None:
    await one.put("crop", {"start": "end", "files": "${input.photos}", "states": {"end": {"done": 1}}})
    assert (await one.run("crop"))["status"] == "finished"
    assert (await one.run("crop", {"photos": ["0" * 32]}))["code"] == "file_not_found"
    problem = await one.run("crop", {"photos": 3})
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("invalid_input", "")


async def test_a_schedule_of_one_that_is_saved_is_a_connection(one: Replica) -> None:
    problem = await one.put("greet", {**HELLO, "schedule": {"every": "15m"}}, status=400)
    (error,) = problem["errors"]
    assert (problem["code"], error["pointer"]) == ("blueprint_invalid", "/schedule")
    assert "PUT /api/v1/connections/greet" in str(problem)
