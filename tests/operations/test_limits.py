"""Limits and pauses as people set them: by the SDK's client and at the command line, against a whole server."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from muster.cli.exits import Exit
from muster_worker import Client, ClientError

from tests.api.conftest import ANY_WORKER
from tests.operations.conftest import Said, Site, Type


def table(said: Said) -> list[list[str]]:
    """The rows of a table, without its head."""
    assert said.code == 0, said
    head, *rows = said.out.splitlines()
    assert head.split() == ["SCOPE", "NAME", "RUNNING", "MAX", "RATE", "OPENS", "WEIGHT", "SOURCE"]
    return [row.split() for row in rows]


# The client


async def test_the_client_sets_lists_and_lifts_limits_of_every_scope(site: Site) -> None:
    client = site.client
    made = [
        await client.set_limit("global", max=9),
        await client.set_limit("tenant", "alice", weight=2.5),
        await client.set_limit("task", "a/b c", max=0),
        await client.set_limit("blueprint", "worker", rate=6, per="1m", burst=2),
        await client.set_limit("key", "site:*", rate=1, per=0.25),
    ]
    assert await client.limits() == made
    assert [limit["max"] for limit in made] == [9, None, 0, None, None]
    assert (made[3]["rate"], made[3]["per_seconds"], made[3]["burst"]) == (6, 60.0, 2)
    assert (made[4]["per_seconds"], made[4]["tenant"]) == (0.25, "alice")
    for limit in made:
        await client.delete_limit(limit["scope"], limit["name"])
    assert await client.limits() == []


@pytest.mark.parametrize(
    ("scope", "values", "code"),
    [("taks", {"max": 1}, "invalid_limit"), ("task", {"max": -1}, "invalid_limit"), ("task", {}, "invalid_limit")],
)
async def test_the_client_is_told_what_is_wrong(site: Site, scope: str, values: dict[str, int], code: str) -> None:
    with pytest.raises(ClientError) as refused:
        await site.client.set_limit(scope, "t", **values)
    assert refused.value.code == code
    assert await site.client.limits() == []


async def test_a_period_that_is_no_duration_is_told_before_anything_is_sent(site: Site) -> None:
    with pytest.raises(ValueError, match="soon"):
        await site.client.set_limit("task", "t", rate=1, per="soon")


async def test_the_client_is_told_that_there_is_no_such_limit(site: Site) -> None:
    with pytest.raises(ClientError) as refused:
        await site.client.delete_limit("task", "nobody")
    assert (refused.value.code, refused.value.status) == ("limit_not_found", 404)


async def test_a_wrong_token_may_not(site: Site) -> None:
    async with Client(site.url, "wrong") as stranger:
        for call in (stranger.limits(), stranger.pause_queue("work"), stranger.delete_limit("task", "t")):
            with pytest.raises(ClientError) as refused:
                await call
            assert refused.value.status == 401


async def test_the_client_pauses_and_resumes_queues_and_blueprints(site: Site) -> None:
    client = site.client
    job = await client.start("worker")
    for pause, resume, scope in (
        (client.pause_queue("work"), client.resume_queue("work"), "task"),
        (client.pause_blueprint("worker"), client.resume_blueprint("worker"), "blueprint"),
    ):
        await pause
        (limit,) = await client.limits()
        assert (limit["scope"], limit["paused"], limit["source"]) == (scope, True, None)
        first, *_ = (await client.why(job)).reasons
        assert (first.code, first.details["scope"]) == ("limit_paused", scope)
        await resume
        assert await client.limits() == []


# The command line


async def test_limits_are_set_listed_and_lifted_at_the_command_line(muster_cli: Type) -> None:
    assert table(await muster_cli("limit", "ls")) == []
    row = ["task", "image.resize", "0", "4", "10", "per", "60s", "-", "-", "api"]
    words = ("limit", "set", "task", "image.resize", "--max", "4", "--rate", "10", "--per", "1m", "--burst", "2")
    assert table(await muster_cli(*words)) == [row]
    assert table(await muster_cli("limit", "set", "tenant", "alice", "--weight", "2")) == [
        ["tenant", "alice", "0", "-", "-", "-", "2.0", "api"]
    ]
    assert [line[0] for line in table(await muster_cli("limit", "ls"))] == ["tenant", "task"]
    told = json.loads((await muster_cli("limit", "ls", "--output", "json")).out)
    assert [item["name"] for item in told["items"]] == ["alice", "image.resize"]
    gone = await muster_cli("limit", "rm", "tenant", "alice")
    assert (gone.code, gone.out) == (0, "")
    assert "tenant alice is not limited any more" in gone.err
    assert table(await muster_cli("limit", "ls")) == [row]


async def test_the_global_limit_needs_no_name(muster_cli: Type) -> None:
    assert table(await muster_cli("limit", "set", "global", "--max", "7")) == [
        ["global", "*", "0", "7", "-", "-", "-", "api"]
    ]
    assert (await muster_cli("limit", "rm", "global")).code == 0


async def test_a_rate_that_is_used_up_shows_when_it_opens(site: Site, muster_cli: Type) -> None:
    await site.client.set_limit("task", "work", rate=1, per="1h")
    await site.client.start("worker")
    body = {"worker_id": "w1", "supported_tasks": ["work"], "protocol": 1}
    assert (await site.http.post("/_worker/workers/register", json=body, headers=ANY_WORKER)).status == 200
    took = await site.http.get("/_worker/workers/w1/tasks/next?timeout=5", headers=ANY_WORKER)
    assert took.status == 200
    (limit,) = json.loads((await muster_cli("limit", "ls", "-o", "json")).out)["items"]
    opens_at = datetime.fromisoformat(limit["opens_at"])
    assert timedelta(minutes=50) < opens_at - datetime.now(UTC) <= timedelta(hours=1, seconds=1)
    ((*_, opens, _, _),) = table(await muster_cli("limit", "ls"))
    assert opens == limit["opens_at"]


async def test_a_limit_of_0_shows_as_paused(muster_cli: Type) -> None:
    assert table(await muster_cli("limit", "set", "key", "site:*", "--max", "0"))[0][2:4] == ["-", "paused"]


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("set", "taks", "t", "--max", "1"), Exit.FAILED, "there is no scope 'taks'"),
        (("set", "task", "t"), Exit.FAILED, "a limit limits something"),
        (("set", "task", "t", "--max", "-1"), Exit.FAILED, "max is a whole number from 0"),
        (("set", "task", "t", "--max", "many"), Exit.USAGE, "many"),
        (("set", "task", "t", "--rate", "1"), Exit.FAILED, "a rate needs a period"),
        (("rm", "task", "nobody"), Exit.NOT_FOUND, "No limit is set for task 'nobody'"),
        (("rm",), Exit.USAGE, "requires an argument"),
    ],
)
async def test_what_cannot_be_ends_with_a_code_and_a_reason(
    muster_cli: Type, words: tuple[str, ...], code: Exit, why: str
) -> None:
    said = await muster_cli("limit", *words)
    assert (said.code, said.out) == (code, "")
    assert why in said.err
    assert "try: " in said.err


@pytest.mark.parametrize(("noun", "name"), [("queue", "work"), ("blueprint", "worker")])
async def test_what_is_paused_at_the_command_line_is_shown_by_why_with_what_ends_it(
    site: Site, muster_cli: Type, noun: str, name: str
) -> None:
    job = await site.client.start("worker")
    paused = await muster_cli(noun, "pause", name)
    assert (paused.code, paused.out) == (0, "")
    assert f"muster {noun} resume {name} ends it" in paused.err
    told = await muster_cli("why", job)
    assert f"limit_paused: the task 'work' waits: {noun} {name!r} is paused" in told.out
    assert f"try: muster {noun} resume {name}" in told.err
    assert table(await muster_cli("limit", "ls"))[0][3] == "paused"
    resumed = await muster_cli(noun, "resume", name)
    assert "are handed out again" in resumed.err
    assert "limit_paused" not in (await muster_cli("why", job)).out
