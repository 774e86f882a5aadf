"""The SDK's side: a handler's `ctx.files`, the client's uploads and downloads."""

import asyncio
import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from muster_worker import Client, Conflict, Ctx, NotFound, Unreachable, Worker
from muster_worker.file_transfer import fetch_file
from muster_worker.files import TaskFiles
from muster_worker.transport import Transport

from tests.files.conftest import Site


def url_of(site: Site) -> str:
    return str(site.http.make_url("/")).rstrip("/")


def client_of(site: Site, token: str = "alice-token") -> Client:
    return Client(url_of(site), token)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_a_handler_reads_its_input_and_keeps_what_it_makes(site: Site, tmp_path: Path) -> None:
    worker = Worker()

    @worker.task("copy")
    async def copy(ctx: Ctx, value: dict[str, Any]) -> Any:
        source = await ctx.files.download(value["source"], tmp_path / "in.bin")
        kept = await ctx.files.upload(source, "sub/out.bin", description="the same again", step=0)
        return {"artifact": kept.artifact_id}

    @worker.task("measure")
    def measure(ctx: Ctx, value: dict[str, Any]) -> Any:
        return {"size": ctx.files.download_now(value["source"], tmp_path / "plain.bin").stat().st_size}

    content = os.urandom(900_000)
    (tmp_path / "data.bin").write_bytes(content)
    stop = asyncio.Event()
    serving = asyncio.create_task(worker.serve(stop, worker.settings(url=url_of(site), token="global-token")))
    async with client_of(site) as client:
        sent = await client.upload(tmp_path / "data.bin")
        params = {"source": sent.file_id}
        state = await client.run("one", {"type": "copy", "params": params}, timeout_s=20)
        assert state.succeeded, state
        (artifact,) = await client.artifacts(state.id)
        assert (artifact.name, artifact.description, artifact.step) == ("out.bin", "the same again", "0")
        assert (artifact.size, artifact.sha256) == (900_000, hashlib.sha256(content).hexdigest())
        got = await client.download(artifact.artifact_id, tmp_path / "got.bin")
        assert got.read_bytes() == content
        archive = await client.download_artifacts(state.id, tmp_path / "all.zip")
        with zipfile.ZipFile(archive) as opened:
            assert opened.read("out.bin") == content
        measured = await client.run("one", {"type": "measure", "params": params}, timeout_s=20)
        assert measured.succeeded, measured
        assert measured.state_history == {"size": 900_000}
    stop.set()
    await serving


async def test_a_client_hands_out_urls_that_need_no_token(site: Site, tmp_path: Path) -> None:
    async with client_of(site) as client, aiohttp.ClientSession() as stranger:
        planned = await client.signed_upload("in.csv")
        assert (await stranger.put(planned.upload_url, data=b"a,b\n")).status == 200
        url = await client.signed_download(planned.file_id)
        assert await (await stranger.get(url)).read() == b"a,b\n"
        await client.delete_file(planned.file_id)
        with pytest.raises(NotFound):
            await client.download(planned.file_id, tmp_path / "target")
    assert not [name for name in names_in(tmp_path) if "target" in name or name.endswith(".part")]


async def test_a_task_that_is_held_no_more_is_told_so(site: Site, tmp_path: Path) -> None:
    held = await site.hold()
    (tmp_path / "a.txt").write_text("x")
    async with Transport([url_of(site)], {"X-Worker-Token": "global-token"}) as transport:
        loop = asyncio.get_running_loop()
        files = TaskFiles(transport, loop, task_id=held.task_id, attempt=1, fence="guessed")
        with pytest.raises(Conflict) as refused:
            await files.upload(tmp_path / "a.txt")
        assert refused.value.code == "task_not_held"


async def test_a_download_that_breaks_off_leaves_nothing_at_its_place(tmp_path: Path) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        writer.close()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, Transport([f"http://{host}:{port}"], {}) as transport:
        with pytest.raises(Unreachable):
            await fetch_file(transport, "/x", tmp_path / "target")
    assert names_in(tmp_path) == []


async def test_a_damaged_download_is_not_taken(tmp_path: Path) -> None:
    async def damaged(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        digest = b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="  # of nothing
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nRepr-Digest: sha-256=:" + digest + b":\r\n\r\nbits")
        writer.close()

    server = await asyncio.start_server(damaged, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, Transport([f"http://{host}:{port}"], {}) as transport:
        with pytest.raises(Unreachable, match="not what was kept"):
            await fetch_file(transport, "/x", tmp_path / "target")
    assert names_in(tmp_path) == []
