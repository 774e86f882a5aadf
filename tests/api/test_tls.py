"""The server speaks HTTPS itself, and knows workers by their certificates."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from muster.api.app import create_app
from muster.api.auth import certified_worker
from muster.settings import Settings, SettingsRefused, load_settings
from muster.tls import server_context
from muster_worker import ClientError, NotAllowed, Unreachable
from muster_worker.pulse import worker_headers
from muster_worker.settings import WorkerSettings, worker_settings
from muster_worker.transport import Transport
from muster_worker.worker_api import WorkerApi

from tests.api.certificates import Authority, Signed
from tests.api.conftest import ALICE, ANY_WORKER, OWN_WORKER, credentials
from tests.api.fake_engine import FakeEngine


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Trusted by every client of the test."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.cert))
    return authority


@asynccontextmanager
async def serving(engine: FakeEngine, authority: Authority, **more: Any) -> AsyncIterator[str]:
    """An HTTPS server that knows workers by certificates of *authority*."""
    own = authority.sign("server")
    given = {"tls_cert": own.cert, "tls_key": own.key, "tls_worker_ca": authority.cert, **more}
    settings = Settings(**given)
    runner = web.AppRunner(create_app(engine, settings, credentials()), handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(settings)).start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def settings_of(url: str, worker_id: str, signed: Signed | None, token: str = "") -> WorkerSettings:
    if signed is None:  # aiohttp's own context was made before the test's authority
        plain = worker_settings(url=url, worker_id=worker_id, token=token, env={})
        return replace(plain, tls=ssl.create_default_context())
    env = {"MUSTER_WORKER_TLS_CERT": str(signed.cert), "MUSTER_WORKER_TLS_KEY": str(signed.key)}
    return worker_settings(url=url, worker_id=worker_id, token=token, env=env)


async def register(settings: WorkerSettings) -> None:
    async with Transport(settings.addresses, worker_headers(settings.token), settings.tls) as transport:
        await WorkerApi(transport, settings.worker_id, {"supported_tasks": ["t"]}).register()


async def test_a_worker_is_who_its_certificate_says_and_needs_no_token(
    engine: FakeEngine, authority: Authority
) -> None:
    async with serving(engine, authority) as url:
        certificate = authority.sign("w1")
        await register(settings_of(url, "w1", certificate))
        with pytest.raises(NotAllowed, match="another worker than 'w2'"):
            await register(settings_of(url, "w2", certificate))
        await register(settings_of(url, "w1", certificate, ANY_WORKER["X-Worker-Token"]))
        for wrong in (OWN_WORKER["X-Worker-Token"], "nonsense"):
            with pytest.raises(NotAllowed):
                await register(settings_of(url, "w1", certificate, wrong))
        await register(settings_of(url, "any", None, ANY_WORKER["X-Worker-Token"]))
        with pytest.raises(NotAllowed):
            await register(settings_of(url, "any", None, "nonsense"))


async def test_a_certificate_of_another_authority_and_none_where_one_is_needed_do_not_connect(
    engine: FakeEngine, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    foreign = Authority(tmp_path / "other", "foreign").sign("w1")
    async with serving(engine, authority) as url:
        with pytest.raises(Unreachable):
            await register(settings_of(url, "w1", foreign))
    async with serving(engine, authority, tls_require_certificate=True) as url:
        with pytest.raises(ClientError):
            await register(settings_of(url, "w1", None, ANY_WORKER["X-Worker-Token"]))
        await register(settings_of(url, "w1", authority.sign("w1")))


async def test_clients_use_their_tokens_over_https_and_a_workers_certificate_is_none_of_theirs(
    engine: FakeEngine, authority: Authority
) -> None:
    worker = authority.sign("w1")
    context = ssl.create_default_context()
    context.load_cert_chain(worker.cert, worker.key)
    async with serving(engine, authority) as url, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/api/v1/jobs", headers=ALICE, ssl=ssl.create_default_context()) as answer:
            assert answer.status == 200
        async with session.get(f"{url}/api/v1/jobs", ssl=context) as answer:
            assert answer.status == 401


def test_a_name_that_is_no_workers_id_stands_for_nobody() -> None:
    assert certified_worker({"subject": ((("commonName", "w1"),),)}) == "w1"
    for names in ((), ("a b",), ("w1", "w2")):
        assert certified_worker({"subject": tuple((("commonName", name),) for name in names)}) is None
    assert certified_worker(None) is None
    assert certified_worker({}) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tls_cert": "a.pem"}, "belong together"),
        ({"tls_worker_ca": "ca.pem"}, "of no use without MUSTER_TLS_CERT"),
        ({"tls_require_certificate": True}, "needs MUSTER_TLS_WORKER_CA"),
        ({"tls_cert": "gone.pem", "tls_key": "gone.key"}, "MUSTER_TLS_CERT=gone.pem and MUSTER_TLS_KEY=gone.key"),
    ],
)
def test_tls_that_cannot_be_is_told_by_the_setting(given: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsRefused, match=said):
        server_context(load_settings(**given))


def test_without_tls_there_is_no_context() -> None:
    assert server_context(Settings()) is None


def test_half_a_certificate_of_a_worker_is_refused() -> None:
    with pytest.raises(ValueError, match="belong together"):
        worker_settings(env={"MUSTER_WORKER_TLS_CERT": "a.pem"})
    with pytest.raises(ValueError, match="cannot be used"):
        worker_settings(env={"MUSTER_WORKER_TLS_CERT": "a.pem", "MUSTER_WORKER_TLS_KEY": "a.key"})
