"""Quotas of clients, unique keys and debounce, over real sockets."""

from typing import Any

import pytest
from muster.api.auth import Client, Credentials, CredentialsError, digest_of
from muster.core.admission import Quota
from muster.settings import Settings

from tests.api.conftest import ALICE, BOB
from tests.files.conftest import Site
from tests.support.waiting import eventually


async def submit(site: Site, headers: dict[str, str] = ALICE, **more: Any) -> tuple[int, Any, Any]:
    body = {"initial_data": {"type": "nobody"}, **more}
    answer = await site.http.post("/api/v1/jobs/one", json=body, headers=headers)
    return answer.status, await answer.json(), answer.headers


def give(site: Site, quota: Quota) -> None:
    """Alice has a quota from here on."""
    edge = next(value for key, value in site.http.app.items() if type(value).__name__ == "Edge")
    token = digest_of(ALICE["X-Client-Token"].encode())
    index = edge.credentials._clients
    for place, (digest, client) in list(index.items()):
        if digest == token:
            index[place] = (digest, Client(client.name, client.tenant, quota=quota, at_home=True))


async def test_a_client_over_its_quota_is_told_which_and_when_to_come_again(site: Site) -> None:
    give(site, Quota("alice", live_max=2))
    jobs = [(await submit(site))[1]["job_id"] for _ in range(2)]
    status, refused, headers = await submit(site)
    assert (status, refused["code"], refused["limit"]) == (429, "client_limit_reached", "live")
    assert int(headers["Retry-After"]) >= 1
    assert (await submit(site, BOB))[0] == 202
    assert (await site.http.post(f"/api/v1/jobs/{jobs[0]}/cancel", headers=ALICE)).status == 200
    assert (await submit(site))[0] == 202


async def test_a_rate_is_told_with_the_seconds_until_the_next_submit(site: Site) -> None:
    give(site, Quota("alice", per_second=0.01, burst=2))
    assert [(await submit(site))[0] for _ in range(3)] == [202, 202, 429]
    _, refused, headers = await submit(site)
    assert (refused["limit"], 90 <= int(headers["Retry-After"]) <= 100) == ("rate", True)


async def test_the_same_idempotency_key_is_answered_though_the_quota_is_used_up(site: Site) -> None:
    give(site, Quota("alice", live_max=1))
    headers = {**ALICE, "Idempotency-Key": "k"}
    first = await submit(site, headers)
    again = await submit(site, headers)
    assert (again[0], again[1]["job_id"]) == (202, first[1]["job_id"])


async def test_lines_of_a_batch_over_the_quota_are_refused_and_taken_later(site: Site) -> None:
    give(site, Quota("alice", live_max=3))
    line = b'{"blueprint": "one", "initial_data": {"type": "nobody"}}\n'
    headers = {**ALICE, "Content-Type": "application/x-ndjson"}
    answer = await (await site.http.post("/api/v1/batches?id=b", data=line * 5, headers=headers)).json()
    assert (answer["accepted"], [(one["line"], one["code"]) for one in answer["errors"]]) == (
        3,
        [(4, "client_limit_reached"), (5, "client_limit_reached")],
    )
    found = await (await site.http.get("/api/v1/batches/b", headers=ALICE)).json()
    assert found["total"] == 3


async def test_a_unique_key_gives_the_job_that_lives_or_refuses_or_replaces(site: Site) -> None:
    first = (await submit(site, unique={"key": "k"}))[1]["job_id"]
    assert (await submit(site, unique={"key": "k"}))[1]["job_id"] == first
    status, refused, _ = await submit(site, unique={"key": "k", "on_conflict": "refuse"})
    assert (status, refused["code"], refused["job_id"]) == (409, "unique_conflict", first)
    assert (await submit(site, BOB, unique={"key": "k"}))[1]["job_id"] != first
    second = (await submit(site, unique={"key": "k", "on_conflict": "replace"}))[1]["job_id"]
    assert second != first

    async def is_cancelled() -> bool:
        return (await site.engine.job("alice", first)).status == "cancelled"

    await eventually(is_cancelled)
    assert (await submit(site, unique={"key": "k"}))[1]["job_id"] == second


async def test_a_debounced_job_says_why_it_waits_and_takes_the_newest_input(site: Site) -> None:
    wish = {"key": "k", "seconds": 60}
    first = (await submit(site, debounce=wish))[1]["job_id"]
    again = (await submit(site, debounce=wish, initial_data={"type": "newer"}))[1]["job_id"]
    assert again == first
    record = await site.engine.job("alice", first)
    assert (record.status, record.submission.initial_data) == ("pending", {"type": "newer"})
    why = await (await site.http.get(f"/api/v1/jobs/{first}/why", headers=ALICE)).json()
    assert why["reasons"][0]["code"] == "debounced"
    assert why["reasons"][0]["until"]
    soon = (await submit(site, debounce={"key": "soon", "seconds": 0.05}))[1]["job_id"]

    async def has_begun() -> bool:
        return (await site.engine.job("alice", soon)).status == "waiting_for_worker"

    await eventually(has_begun)


@pytest.mark.parametrize(
    "more",
    [
        {"unique": {"key": "x" * 201}},
        {"unique": {"key": ""}},
        {"unique": {"key": "k", "while": 0}},
        {"unique": {"key": "k", "while": "ever"}},
        {"unique": {"key": "k", "on_conflict": "panic"}},
        {"unique": {"key": "k", "odd": 1}},
        {"debounce": {"key": "k"}},
        {"debounce": {"key": "k", "seconds": -1}},
        {"debounce": {"key": "k", "seconds": 10, "max_seconds": 5}},
        {"debounce": {"key": "k", "seconds": 90_000}},
    ],
    ids=str,
)
async def test_a_wish_that_cannot_be_is_refused_and_nothing_is_written(site: Site, more: dict[str, Any]) -> None:
    status, refused, _ = await submit(site, **more)
    assert (status, refused["code"]) == (400, "invalid_body")
    assert site.state.partitions[0].jobs == {}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("max_live_jobs = 0", "max_live_jobs = 0 is not a whole number from 1"),
        ("max_queued_jobs = 1.5", "is not a whole number from 1"),
        ('submits_per_second = "many"', "is not a number above 0"),
        ("submit_burst = 3", "belongs to submits_per_second"),
    ],
)
def test_a_quota_that_cannot_be_keeps_the_server_from_starting(tmp_path: Any, line: str, why: str) -> None:
    file = tmp_path / "clients.toml"
    file.write_text(f'[shop]\ntoken = "{"x" * 40}"\n{line}\n')
    with pytest.raises(CredentialsError, match=why):
        Credentials.load(Settings(clients_file=file))


def test_all_clients_of_a_tenant_meet_where_one_of_them_has_a_quota(tmp_path: Any) -> None:
    file = tmp_path / "clients.toml"
    file.write_text(
        f'[a]\ntenant = "t"\ntoken = "{"a" * 40}"\nsubmits_per_second = 5\n'
        f'[b]\ntenant = "t"\ntoken = "{"b" * 40}"\n[c]\ntoken = "{"c" * 40}"\n'
    )
    credentials = Credentials.load(Settings(clients_file=file))
    found = {name: credentials.client(name.encode() * 40) for name in "abc"}
    assert [one.at_home for one in found.values() if one is not None] == [True, True, False]
    assert found["a"] is not None
    assert found["a"].quota == Quota("a", per_second=5, burst=5)
