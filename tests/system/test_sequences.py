"""The blueprint `sequence` on real processes."""

from typing import Any

from tests.system.callers import Api, PlainWorker


def member(name: str, task: str) -> dict[str, Any]:
    return {"name": name, "blueprint": "one", "input": {"type": task, "retries": 0}}


async def test_members_run_one_after_another_and_one_that_fails_does_not_stop_the_rest(
    a: Api, b: Api, on_b: PlainWorker, name: str
) -> None:
    await on_b.register(name)
    members = [member("first", name), member("second", name), {"name": "third", "blueprint": "nowhere"}]
    job_id = await a.start("sequence", members=[*members, member("last", name)])
    ran: list[str] = []
    for end in ("success", "failure", "success"):
        task = await on_b.take()
        ran.append(task["job_id"])
        assert await on_b.poll(0) is None, "one at a time"
        waiting = await b.is_(job_id, "waiting")
        assert waiting["waiting_for"]["child_id"] == task["job_id"]
        await on_b.report(
            task, end, error={"code": "COMMAND_FAILED", "message": "status 7"} if end == "failure" else None
        )
    job = await a.end_of(job_id)
    assert (job["status"], job["error_message"]) == ("finished", None)
    assert job["result"] == {
        "current": None,
        "completed": ["first", "second", "third", "last"],
        "children": dict(zip(("first", "second", "last"), ran, strict=True)),
        "failed": {
            "second": "COMMAND_FAILED: status 7",
            "third": "BLUEPRINT_NOT_FOUND: there is no blueprint 'nowhere'",
        },
    }
    assert [(await b.job(child))["parent_id"] for child in ran] == [job_id] * 3
