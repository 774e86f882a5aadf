"""Who may call what."""

import asyncio
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request
from muster.api.auth import (
    ANONYMOUS,
    Client,
    Credentials,
    CredentialsError,
    WorkerIdentity,
    authenticate_caller,
    digest_of,
)
from muster.api.operations import Auth, Operation
from muster.api.routes import OPERATIONS
from muster.errors import ErrorCode, MusterError
from muster.settings import Settings
from pydantic import SecretStr

from tests.api.conftest import ALICE, ANY_WORKER, OWN_WORKER, Http, Serve
from tests.api.fake_engine import FakeEngine

JOB = "018f0000-0000-7000-8000-0000000000ff"
TASK = f"{JOB}.0"


def url(row: Operation) -> str:
    names = {
        "job_id": JOB,
        "blueprint_name": "simple_flow",
        "worker_id": "w1",
        "api_version": "v1",
        "endpoint…": "jobs/simple_flow",
    }
    path = row.path
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", value)
    return path


CLIENT_ROWS = [row for row in OPERATIONS if row.auth.is_client]
WORKER_ROWS = [row for row in OPERATIONS if row.auth is Auth.WORKER]


def of(row: Operation) -> str:
    return f"{row.method} {row.path}"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Client-Token": "nobody"},
        {"X-Client-Token": ""},
        {"X-Client-Token": "global-token"},
        {"X-Worker-Token": "global-token"},
        {"Authorization": "Basic YWxpY2UtdG9rZW4="},
        {"Authorization": "Bearer"},
        {"Authorization": "alice-token"},
        {**ALICE, "Authorization": "Basic YWxpY2U="},
        {**ALICE, "X-API-Key": "bob-token"},
        {**ALICE, "Authorization": "Bearer bob-token"},
    ],
    ids=str,
)
async def test_client_routes_refuse_without_a_valid_client_token(http: Http, headers: dict[str, str]) -> None:
    for row in CLIENT_ROWS:
        answer = await http.request(row.method, url(row), headers=headers, data=b"{not json")
        document = await answer.json()
        assert (answer.status, document["code"]) == (401, "unauthenticated"), of(row)
        assert answer.headers["WWW-Authenticate"] == "Bearer", of(row)
        assert "token" not in answer.headers.get("Location", ""), of(row)


@pytest.mark.parametrize(
    "headers",
    [
        ALICE,
        {"X-API-Key": "alice-token"},
        {"Authorization": "bearer alice-token"},
        {**ALICE, "X-API-Key": "alice-token"},
    ],
    ids=str,
)
async def test_each_carrier_is_accepted_on_every_client_route(http: Http, headers: dict[str, str]) -> None:
    for row in CLIENT_ROWS:
        answer = await http.request(row.method, url(row), headers=headers)
        assert answer.status not in {401, 403, 405, 500}, of(row)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Worker-Token": "nobody"},
        {"X-Worker-Token": "alice-token"},
        ALICE,
        {"Authorization": "Bearer global-token"},
    ],
    ids=str,
)
async def test_worker_routes_refuse_without_a_valid_worker_token(http: Http, headers: dict[str, str]) -> None:
    for row in WORKER_ROWS:
        answer = await http.request(row.method, url(row), headers=headers, data=b"{not json")
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), of(row)


def worker_body(path: str, worker_id: str) -> dict[str, object]:
    result: dict[str, object] = {
        "job_id": JOB,
        "task_id": TASK,
        "worker_id": worker_id,
        "result": {"status": "success"},
    }
    if path.endswith("results"):
        return {"results": [result]}
    if path.endswith("events"):
        return {"worker_id": worker_id, "attempt": 1, "events": []}
    return result if path.endswith("result") else {"worker_id": worker_id}


BY_HOLDER = {"put_artifact", "get_input"}
"""Whoever holds the task is meant, so no request names a worker: tests/files/test_artifacts.py."""


@pytest.mark.parametrize(("headers", "worker_id"), [(OWN_WORKER, "w1"), (ANY_WORKER, "own")], ids=["foreign", "global"])
async def test_a_worker_token_does_not_stand_for_another_worker(
    http: Http, engine: FakeEngine, headers: dict[str, str], worker_id: str
) -> None:
    for row in (row for row in WORKER_ROWS if row.name not in BY_HOLDER):
        path = url(row).replace("w1", worker_id)
        answer = await http.request(row.method, path, headers=headers, json=worker_body(path, worker_id))
        assert (answer.status, (await answer.json())["code"]) == (403, "forbidden"), of(row)
    assert not engine.descriptions
    assert not engine.reports


async def test_a_worker_uses_its_own_token_for_itself(http: Http) -> None:
    answer = await http.post("/_worker/workers/register", json={"worker_id": "own"}, headers=OWN_WORKER)
    assert answer.status == 200


async def test_the_name_of_the_api_key_header_is_a_setting(serve: Serve) -> None:
    http = await serve(api_key_header="X-House-Key")
    assert (await http.get("/api/v1/jobs", headers={"X-House-Key": "alice-token"})).status == 200
    assert (await http.get("/api/v1/jobs", headers={"X-API-Key": "alice-token"})).status == 401


async def test_a_key_in_the_query_is_no_credential(http: Http) -> None:
    assert (await http.get("/api/v1/jobs?api_key=alice-token")).status == 401


async def raw(http: Http, head: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(http.host, http.port)
    writer.write(head + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("token", [b"\xc3\xa9t\xc3\xa9", b"\xff\xfe", b"\xed\xa0\x80"])
async def test_a_token_that_is_not_ascii_is_401(http: Http, token: bytes) -> None:
    for header in (b"X-Client-Token: ", b"Authorization: Bearer "):
        assert b" 401 " in (await raw(http, b"GET /api/v1/jobs HTTP/1.1\r\n" + header + token)).split(b"\r\n")[0]
    answer = await raw(http, b"GET /_worker/workers/w1/tasks/next HTTP/1.1\r\nX-Worker-Token: " + token)
    assert b" 401 " in answer.split(b"\r\n")[0]


async def test_a_credential_that_comes_twice_is_400(http: Http) -> None:
    twice = b"GET /api/v1/jobs HTTP/1.1\r\nX-Client-Token: alice-token\r\nX-Client-Token: alice-token"
    assert b" 400 " in (await raw(http, twice)).split(b"\r\n")[0]
    twice = b"GET /_worker/workers/w1/tasks/next HTTP/1.1\r\nX-Worker-Token: global-token\r\nX-Worker-Token: x"
    assert b" 400 " in (await raw(http, twice)).split(b"\r\n")[0]


def load(tmp_path: Path, clients: str = "", workers: str = "", **settings: object) -> Credentials:
    (tmp_path / "clients.toml").write_text(clients)
    (tmp_path / "workers.toml").write_text(workers)
    files = {"clients_file": tmp_path / "clients.toml", "workers_file": tmp_path / "workers.toml"}
    return Credentials.load(Settings(**files, **settings))  # type: ignore[arg-type]


def test_tokens_are_read_in_clear_or_hashed_and_extra_keys_are_kept(tmp_path: Path) -> None:
    hashed = digest_of(b"two").hex()
    found = load(
        tmp_path,
        f'[a]\ntoken = "one"\nplan = "gold"\n[b]\ntoken_sha256 = "{hashed}"\ntenant = "shop"\n',
        '["gpu.1"]\ntoken = ["old", "new"]\n',
        client_token=SecretStr("three"),
        global_worker_token=SecretStr("all"),
    )
    first, second, third = (found.client(token) for token in (b"one", b"two", b"three"))
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.tenant, first.extra) == ("a", {"plan": "gold"})
    assert (second.name, second.tenant, third.tenant) == ("b", "shop", "default")
    assert found.worker(b"old") == found.worker(b"new") == WorkerIdentity("gpu.1")
    assert found.worker(b"all") == WorkerIdentity(None)
    assert found.worker(b"one") is None
    assert found.client(b"all") is None


def test_no_raw_token_is_held(tmp_path: Path) -> None:
    found = load(tmp_path, '[a]\ntoken = "canary-1"\n', '[w]\ntoken = "canary-2"\n', client_token=SecretStr("canary-3"))
    assert "canary" not in repr(vars(found))


@pytest.mark.parametrize(
    ("clients", "workers", "problem"),
    [
        ('[a]\ntoken = "x"\n[b]\ntoken = "x"\n', "", "same token"),
        ('[a]\ntoken = "x"\n', '[w]\ntoken = "x"\n', "same token"),
        ("[a]\n", "", "write token"),
        ("[a]\ntoken = 1\n", "", "write token"),
        ('[a]\ntoken = ""\n', "", "write token"),
        ('[a]\ntoken_sha256 = "12"\n', "", "64 hexadecimal"),
        ('[a]\ntoken = "x"\ntenant = "a b"\n', "", "tenant"),
        ('[a]\ntoken = "x"\ntenant = "anonymous"\n', "", "callers without a token"),
        ('[anonymous]\ntoken = "x"\n', "", "callers without a token"),
        ('a = "x"\n', "", "is not a table"),
        ("[a", "", "is not TOML"),
        ("", '["bad id"]\ntoken = "x"\n', "Worker 'bad id'"),
        ("", '[gpu.1]\ntoken = "x"\n', "needs quotes"),
    ],
)
def test_bad_files_are_refused_with_the_reason(tmp_path: Path, clients: str, workers: str, problem: str) -> None:
    with pytest.raises(CredentialsError, match=problem):
        load(tmp_path, clients, workers)


def test_all_problems_are_told_at_once_and_no_token(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError) as refused:
        load(tmp_path, '[a]\ntoken = "canary"\n[b]\ntoken = "canary"\n[c]\n')
    assert len(refused.value.problems) == 2
    assert "canary" not in str(refused.value)


def test_production_refuses_public_and_short_tokens_in_files(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="public or too short"):
        load(tmp_path, '[a]\ntoken = "secure-orchestrator-token"\n', mode="production")


def test_production_does_not_start_without_any_client(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match=r"clients\.toml.*muster token new --client"):
        load(tmp_path, mode="production")
    load(tmp_path, mode="production", pipelines_key="a-key-nobody-can-guess")
    load(tmp_path)


def caller(auth: Auth, headers: dict[str, str], method: str = "POST", **settings: object) -> Client:
    """Who a request to a server that knows no client is taken for."""
    request = make_mocked_request(method, "/", headers={"Host": "localhost:8080", **headers})
    return authenticate_caller(request, Credentials(), Settings(**settings), auth)  # type: ignore[arg-type]


OPEN_ROWS = pytest.mark.parametrize("auth", [Auth.MONITOR, Auth.CLIENT_IF_ANY])


@OPEN_ROWS
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "127.0.0.1:8080"},
        {"Host": "127.8.0.1"},
        {"Host": "[::1]:8080"},
        {"Origin": "http://localhost:8080", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://[::1]:3000"},
    ],
    ids=str,
)
async def test_programs_and_pages_of_this_machine_need_no_key_where_none_is_wanted(
    auth: Auth, headers: dict[str, str]
) -> None:
    assert caller(auth, headers).tenant == ANONYMOUS


@OPEN_ROWS
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example:8080"},
        {"Host": "attacker.example", "Origin": "http://attacker.example"},
        {"Host": "[broken"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://localhost.evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://[broken"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
async def test_a_page_of_another_site_is_nobody_without_a_key(auth: Auth, headers: dict[str, str]) -> None:
    with pytest.raises(MusterError, match="without a client token") as refused:
        caller(auth, headers)
    assert refused.value.code is ErrorCode.UNAUTHENTICATED
    assert "X-Client-Token" in (refused.value.hint or "")


@OPEN_ROWS
async def test_a_worker_token_is_a_credential_and_never_taken_for_none(auth: Auth) -> None:
    with pytest.raises(MusterError, match="client token is missing"):
        caller(auth, {"X-Worker-Token": "global-token"})


@OPEN_ROWS
async def test_production_knows_nobody_without_a_key(auth: Auth) -> None:
    with pytest.raises(MusterError, match="client token is missing"):
        caller(auth, {}, mode="production")
