"""Routes that say why, and what autoscalers ask."""

from muster.api import models
from muster.core.status import JobStatus
from muster.engine.views import JobOrder
from muster.store.base import StoreUnavailable

from tests.api.conftest import ALICE, BOB, Http
from tests.api.fake_engine import FakeEngine


def a_job(engine: FakeEngine) -> str:
    return engine.new_record(JobOrder("alice", "simple_flow", {})).id


async def test_reasons_come_in_order_with_those_of_the_child_below(http: Http, engine: FakeEngine) -> None:
    job_id = a_job(engine)
    answer = await http.get(f"/api/v1/jobs/{job_id}/why", headers=ALICE)
    document = await answer.json()
    models.Why.model_validate(document)
    assert (document["job_id"], document["status"]) == (job_id, JobStatus.WAITING_FOR_WORKER)
    assert document["at"] == "2024-01-15T10:30:00.123Z"
    (reason,) = document["reasons"]
    (below,) = reason.pop("reasons")
    assert reason == {
        "code": "child",
        "text": "it waits",
        "since": "2024-01-15T10:30:00.123Z",
        "until": None,
        "details": {"child_id": "c"},
    }
    assert (below["code"], below["until"]) == ("timer", "2024-01-15T10:30:00.123Z")


async def test_anothers_job_is_not_found(http: Http, engine: FakeEngine) -> None:
    refused = await http.get(f"/api/v1/jobs/{a_job(engine)}/why", headers=BOB)
    assert (refused.status, (await refused.json())["code"]) == (404, "job_not_found")


async def test_wanted_workers_come_for_all_tasks_or_as_one_number(http: Http) -> None:
    everything = await (await http.get("/api/v1/fleet/wanted", headers=ALICE)).json()
    models.Wanted.model_validate(everything)
    assert everything == {
        "items": [
            {
                "task": "image.resize",
                "queued": 5,
                "running": 2,
                "workers": 2,
                "slots": 6,
                "wanted_workers": 3,
                "needs": [],
            }
        ]
    }
    one = await (await http.get("/api/v1/fleet/wanted?task=image.resize", headers=ALICE)).json()
    none = await (await http.get("/api/v1/fleet/wanted?task=unknown", headers=ALICE)).json()
    assert (one, none) == ({"value": 3}, {"value": 0})
    models.Wanted.model_validate(one)


async def test_without_a_token_or_a_store_there_is_no_answer(http: Http, engine: FakeEngine) -> None:
    assert (await http.get("/api/v1/fleet/wanted")).status == 401
    engine.trouble = StoreUnavailable("away")
    assert (await http.get("/api/v1/fleet/wanted?task=a", headers=ALICE)).status == 503
