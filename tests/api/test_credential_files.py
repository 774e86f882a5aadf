"""Tokens come and go while the server runs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from muster.api.auth import Credentials
from muster.api.credential_files import CredentialFiles
from muster.settings import Settings

from tests.api.conftest import until


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    clients, workers = tmp_path / "clients.toml", tmp_path / "workers.toml"
    clients.write_text('[alice]\ntoken = "alice-one"\n')
    workers.write_text('[w1]\ntoken = "worker-one"\n')
    return Settings(clients_file=clients, workers_file=workers)


@pytest.fixture
async def credentials(settings: Settings) -> AsyncIterator[Credentials]:
    """Watched."""
    loaded = Credentials.load(settings)
    watching = asyncio.create_task(CredentialFiles(loaded, settings).watch(every_s=0.005))
    yield loaded
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_a_token_is_given_and_taken_back_without_a_restart(settings: Settings, credentials: Credentials) -> None:
    assert settings.clients_file is not None
    assert settings.workers_file is not None
    settings.clients_file.write_text('[alice]\ntoken = ["alice-one", "alice-two"]\n[bob]\ntoken = "bob-one"\n')
    await until(lambda: credentials.client(b"bob-one"))
    assert credentials.client(b"alice-one") == credentials.client(b"alice-two")
    settings.workers_file.write_text('[w2]\ntoken = "worker-two"\n')
    await until(lambda: credentials.worker(b"worker-two"))
    assert credentials.worker(b"worker-one") is None
    assert (credentials.has_own_token("w1"), credentials.has_own_token("w2")) == (False, True)


async def test_a_file_that_cannot_be_used_changes_nothing_and_is_told(
    settings: Settings, credentials: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    assert settings.clients_file is not None
    for wrong in ("[alice", '[alice]\ntoken_sha256 = "short"\n'):
        settings.clients_file.write_text(wrong)
        await until(lambda: "credentials_not_reloaded" in caplog.messages)
        assert credentials.client(b"alice-one") is not None
        caplog.clear()
    settings.clients_file.unlink()
    await until(lambda: "credentials_not_reloaded" in caplog.messages)
    settings.clients_file.write_text('[bob]\ntoken = "bob-one"\n')
    await until(lambda: credentials.client(b"bob-one"))
    assert credentials.client(b"alice-one") is None
