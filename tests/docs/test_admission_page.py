"""The Python of the pages about admission, batches and flow control does what the pages say."""

import ast
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from muster import Blueprint, Job, Next, finished
from muster.api.app import create_app
from muster.blueprint.registry import Registry
from muster.engine.engine import Engine
from muster.engine.settings import EngineSettings
from muster.observe.metrics import Metrics
from muster.pytest_plugin import muster
from muster.settings import Settings
from muster.store.memory.store import MemoryState, MemoryStore
from muster.testing import TestMuster
from muster_worker import Client
from pydantic import BaseModel

from tests.api.conftest import credentials
from tests.docs.blocks import ROOT, blocks

__all__ = ["muster"]


async def done(source: str, **names: Any) -> dict[str, Any]:
    """Do what *source* says, with awaits at its top level; all names that there are then."""
    code = compile(source, "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if (waiting := eval(code, names)) is not None:
        await waiting
    return names


def waiting_job(name: str) -> Blueprint[dict[str, Any], dict[str, Any]]:
    made = Blueprint(name)

    @made.start
    async def begin(job: Job) -> Next:
        return job.run("nobody.does", job.input, ok=finished)

    return made


@dataclass
class Site:
    engine: Engine
    client: Client


@pytest.fixture
async def site(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    store = MemoryStore(MemoryState(), replica="r1")
    await store.open()
    registry = Registry()
    for name in ("sync", "index"):
        registry.add(waiting_job(name))
    engine = Engine(store, registry, EngineSettings("r1"), Metrics(version="0"), "secret")
    engine.start()
    server = TestServer(create_app(engine, Settings(), credentials()))
    await server.start_server()
    url = str(server.make_url("")).rstrip("/")
    monkeypatch.setenv("MUSTER_URL", url)
    monkeypatch.setenv("MUSTER_CLIENT_TOKEN", "alice-token")
    async with Client() as client:
        yield Site(engine, client)
    await server.close()
    await engine.stop()


async def test_the_admission_pages_starts_are_one_of_a_key_and_put_off(site: Site) -> None:
    (source,) = blocks("docs/guides/admission.md", "python")
    for _ in range(2):
        await done(source, client=site.client)
    jobs = {(job.blueprint_name, job.status) for job in (await site.client.jobs()).items}
    assert jobs == {("sync", "cancelled"), ("sync", "waiting_for_worker"), ("index", "pending")}
    (index,) = [job for job in (await site.client.jobs()).items if job.blueprint_name == "index"]
    (reason,) = (await site.client.why(index.id)).reasons
    assert reason.code == "debounced"


async def test_the_batches_page_loads_a_file_and_tells_what_was_refused_and_what_failed(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ['{"blueprint": "sync", "initial_data": {"n": 1}}', '{"blueprint": "no such"}']
    (tmp_path / "jobs.ndjson").write_text("\n".join(lines))
    (source,) = blocks("docs/guides/batches.md", "python")
    names = await done(source, Client=Client, Path=Path)
    assert names["loaded"].accepted == 1
    said = capsys.readouterr().out
    assert said.startswith("2 blueprint_not_found ")
    assert len(said.splitlines()) == 1


class Page(BaseModel):
    site: str


async def test_the_keys_of_the_flow_control_page_are_those_that_limits_name(muster: TestMuster) -> None:
    (source,) = blocks("docs/guides/flow-control.md", "python")
    given = {"send": "mail.send", "mail": {}, "customer": 5, "fetch": "crawl.fetch", "done": finished}
    pages = [Page(site="a"), Page(site="a"), Page(site="b")]
    for number, line in enumerate(source.splitlines()):
        names: dict[str, Any] = {**given, "urls": pages}
        exec(f"async def begin(job):\n    {line}", names)
        made = Blueprint(f"page-{number}")
        made.start(names["begin"])
        muster.add(made)
    muster.on("mail.send", {})
    muster.on("crawl.fetch", {})
    await muster.limit("key", "customer-5", max=0)
    await muster.limit("key", "site:*", rate=1, per="1h")
    await muster.start("page-0")
    await muster.start("page-1")
    assert len(muster.calls("mail.send")) == 0
    assert sorted(page["site"] for page in muster.calls("crawl.fetch")) == ["a", "b"]
    await muster.lift("key", "customer-5")
    assert len(muster.calls("mail.send")) == 1


def test_the_examples_that_the_pages_name_are_there() -> None:
    named = {
        "flow-control": "reindex", "admission": "reindex", "batches": "thumbnails", "autoscaling": "thumbnails",
        "fleet": "renders", "changing-blueprints": "parcels", "why": "test_reindex",
    }  # fmt: skip
    for page, example in named.items():
        assert f"`blueprints/{example}.py`" in (ROOT / f"docs/guides/{page}.md").read_text()
        assert (ROOT / "blueprints" / f"test_{example.removeprefix('test_')}.py").exists()
