"""What clients send: kept whole or not at all, under names that are safe, readable by their owner only."""

import asyncio
import errno
import hashlib
import io
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import FormData

from tests.api.conftest import ALICE, BOB
from tests.files.conftest import MakeSite, Site, until

UNKNOWN = "0" * 32


async def test_an_upload_can_be_read_again_with_its_name_size_type_and_digest(site: Site) -> None:
    content = os.urandom(700_000)
    answer = await site.http.post("/api/v1/files?name=data.csv", data=content, headers=ALICE)
    told = await answer.json()
    assert (answer.status, told["name"], told["size"], told["media_type"]) == (201, "data.csv", 700_000, "text/csv")
    assert told["sha256"] == hashlib.sha256(content).hexdigest()
    read = await site.http.get(answer.headers["Location"], headers=ALICE)
    assert await read.read() == content
    assert read.headers["Content-Type"] == "text/csv"
    assert read.headers["Content-Disposition"] == 'attachment; filename="data.csv"'
    assert read.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in read.headers["Content-Security-Policy"]


async def test_a_form_with_a_part_called_file_is_an_upload(site: Site) -> None:
    form = FormData(quote_fields=False)
    form.add_field("note", "first")
    form.add_field("file", b"x,y\n" * 50_000, filename="../../table.csv", content_type="text/csv")
    form.add_field("more", "after")
    answer = await site.http.post("/api/v1/files", data=form, headers=ALICE)
    told = await answer.json()
    assert (answer.status, told["name"], told["size"]) == (201, "table.csv", 200_000)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("..", "file"),
        ("/", "file"),
        ("", "file"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("a/b/c.txt", "c.txt"),
        (".ssh", "ssh"),
        ("a\x00b\r\nSet-Cookie: x", "a_b_Set-Cookie_x"),
        ('"; filename=evil', "_filename_evil"),
        ("con.txt", "_con.txt"),
        ("ünïcode.pdf", "unicode.pdf"),
        ("日本", "file"),
        ("x" * 300 + ".tar", "x" * 251 + ".tar"),
    ],
)
async def test_a_name_is_reduced_to_one_safe_segment(site: Site, name: str, kept: str) -> None:
    file_id = await site.upload(b"1", name)
    answer = await site.http.get(f"/api/v1/files/{file_id}", headers=ALICE)
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{kept}"'
    assert [(path.parent.parent, kept in path.name) for path in site.on_disk()] == [(site.folder, False)]


async def test_a_part_of_a_file_can_be_asked_for(site: Site) -> None:
    path = f"/api/v1/files/{await site.upload(b'0123456789')}"
    part = await site.http.get(path, headers={**ALICE, "Range": "bytes=2-4"})
    assert (part.status, await part.read(), part.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    beyond = await site.http.get(path, headers={**ALICE, "Range": "bytes=50-"})
    assert beyond.status == 416
    again = await site.http.get(path, headers={**ALICE, "If-None-Match": part.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")
    head = await site.http.head(path, headers=ALICE)
    assert (head.status, head.headers["Content-Length"]) == (200, "10")


@pytest.mark.parametrize(
    ("asked", "status", "body", "content_range"),
    [
        ("bytes=0-1,5-6", 200, b"0123456789", None),
        ("bytes=nonsense", 200, b"0123456789", None),
        ("bytes=5-2", 200, b"0123456789", None),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=-0", 416, b"", "bytes */10"),
    ],
)
async def test_several_ranges_and_those_that_cannot_be_read_get_the_whole_file(
    site: Site, asked: str, status: int, body: bytes, content_range: str | None
) -> None:
    path = f"/api/v1/files/{await site.upload(b'0123456789')}"
    answer = await site.http.get(path, headers={**ALICE, "Range": asked})
    assert (answer.status, await answer.read(), answer.headers.get("Content-Range")) == (status, body, content_range)
    head = await site.http.head(path, headers={**ALICE, "Range": asked})
    assert (head.status, head.headers["Content-Length"]) == (200, "10")


async def test_a_part_of_another_version_is_not_sent(site: Site) -> None:
    path = f"/api/v1/files/{await site.upload(b'0123456789')}"
    told = (await site.http.head(path, headers=ALICE)).headers
    tag, date = told["ETag"], told["Last-Modified"]
    for condition, status in ((tag, 206), (date, 206), ('"other"', 200), (f"W/{tag}", 200)):
        answer = await site.http.get(path, headers={**ALICE, "Range": "bytes=2-4", "If-Range": condition})
        assert (answer.status, len(await answer.read())) == (status, 3 if status == 206 else 10)
    for condition in ("Thu, 01 Jan 1970 00:01:00 GMT", "Fri, 01 Jan 2100 00:01:00 GMT"):
        assert (await site.http.get(path, headers={**ALICE, "Range": "bytes=2-4", "If-Range": condition})).status == 200


async def body_of(site: Site, method: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    answer = await site.http.request(method, path, headers=headers)
    body = await answer.json()
    return answer.status, {name: value for name, value in body.items() if name != "instance"}


@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("DELETE", ""), ("POST", "/signed-url")])
async def test_a_foreign_file_looks_like_an_unknown_one(site: Site, method: str, suffix: str) -> None:
    file_id = await site.upload(b"secret")
    unknown = await body_of(site, method, f"/api/v1/files/{UNKNOWN}{suffix}", BOB)
    assert unknown[0] == 404
    assert unknown[1]["code"] == "file_not_found"
    assert await body_of(site, method, f"/api/v1/files/{file_id}{suffix}", BOB) == unknown
    for odd in ("x", "%2e%2e%2f", "..%2f..%2fetc%2fpasswd", "0" * 48, "%00", file_id.upper() + "Z"):
        assert await body_of(site, method, f"/api/v1/files/{odd}{suffix}", BOB) == unknown
    assert (await site.http.get(f"/api/v1/files/{file_id}", headers=ALICE)).status == 200


async def test_a_deleted_file_is_gone_from_the_disk_and_the_account(site: Site) -> None:
    file_id = await site.upload(b"12345")
    assert await site.state.files.used("alice") == 5
    path = f"/api/v1/files/{file_id}"
    assert (await site.http.delete(path, headers=ALICE)).status == 204
    assert (await site.http.get(path, headers=ALICE)).status == 404
    assert site.on_disk() == []
    assert await site.state.files.used("alice") == 0


async def raw(site: Site, request: bytes) -> bytes:
    """Send bytes as they are, hang up for writing, read what comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.http.port)
    writer.write(request)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


HEAD = b"POST /api/v1/files?name=a HTTP/1.1\r\nHost: x\r\nX-Client-Token: alice-token\r\n"
FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf of it'


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + b"Content-Length: 1000000\r\n\r\nhalf of it",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhalf \r\n",
        HEAD + b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 5000\r\n\r\n" + FORM,
        HEAD + b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n" % len(FORM) + FORM,
        HEAD
        + b"Content-Type: multipart/form-data; boundary=b\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(FORM)
        + FORM
        + b"\r\n0\r\n\r\n",
    ],
    ids=["length", "chunked", "form", "form-without-end", "chunked-form-without-end"],
)
async def test_a_body_cut_short_leaves_nothing(site: Site, request_bytes: bytes) -> None:
    answer = await raw(site, request_bytes)
    assert answer == b"" or b" 400 " in answer.partition(b"\r\n")[0], answer
    await until(lambda: site.on_disk() == [])
    assert await site.state.files.used("alice") == 0


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--b--\r\n'),
        ("multipart/form-data; boundary=b", b"nothing of the kind"),
    ],
)
async def test_a_form_without_a_file_is_refused(site: Site, content_type: str, body: bytes) -> None:
    headers = {**ALICE, "Content-Type": content_type}
    answer = await site.http.post("/api/v1/files", data=body, headers=headers)
    assert (answer.status, (await answer.json())["code"]) == (400, "invalid_body")
    assert site.on_disk() == []


async def endless() -> AsyncIterator[bytes]:
    for _ in range(100):
        yield b"x" * 1000


async def test_a_file_over_the_limit_is_refused_and_leaves_nothing(make_site: MakeSite) -> None:
    site = await make_site(max_upload_bytes=10_000)
    told = await site.http.post("/api/v1/files", data=b"x" * 10_001, headers=ALICE)
    found = await site.http.post("/api/v1/files", data=endless(), headers=ALICE)
    form = FormData()
    form.add_field("file", b"x" * 10_001, filename="a")
    in_form = await site.http.post("/api/v1/files", data=form, headers=ALICE)
    for answer in (told, found, in_form):
        assert (answer.status, (await answer.json())["code"]) == (413, "body_too_large")
    await site.upload(b"x" * 10_000)
    assert len(site.on_disk()) == 1


async def test_a_tenant_keeps_no_more_than_its_quota(make_site: MakeSite) -> None:
    site = await make_site(quota_bytes=100)
    first = await site.upload(b"x" * 60)
    over = await site.http.post("/api/v1/files", data=b"x" * 41, headers=ALICE)
    assert (over.status, (await over.json())["code"]) == (507, "quota_exceeded")
    await site.upload(b"x" * 41, headers=BOB)
    assert len(site.on_disk()) == 2
    await site.http.delete(f"/api/v1/files/{first}", headers=ALICE)
    await site.upload(b"x" * 100)


@pytest.mark.parametrize("trouble", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_is_told_and_leaves_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, trouble: int
) -> None:
    written = 0
    write = os.write

    def write_some(fd: int, data: Any) -> int:
        nonlocal written
        if len(data) < 1000:  # the event loop wakes itself with a byte
            return write(fd, data)
        if written > 500_000:
            raise OSError(trouble, os.strerror(trouble))
        count = write(fd, data[:100_000])
        written += count
        return count

    monkeypatch.setattr(os, "write", write_some)
    answer = await site.http.post("/api/v1/files", data=io.BytesIO(b"x" * 2_000_000), headers=ALICE)
    assert (answer.status, (await answer.json())["code"]) == (507, "disk_full")
    assert site.on_disk() == []
    assert await site.state.files.used("alice") == 0
    monkeypatch.undo()
    file_id = await site.upload(b"y" * 2_000_000)
    assert await (await site.http.get(f"/api/v1/files/{file_id}", headers=ALICE)).read() == b"y" * 2_000_000


async def test_nothing_is_readable_before_all_of_it_came(site: Site) -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"x" * 600_000
        arrived.set()
        await go.wait()
        yield b"x"

    sending = asyncio.create_task(site.http.post("/api/v1/files", data=slowly(), headers=ALICE))
    await arrived.wait()
    await until(site.on_disk)
    assert [path.parent.name for path in site.on_disk()] == ["incoming"]
    go.set()
    assert (await sending).status == 201
    assert [path.parent.name for path in site.on_disk()] != ["incoming"]
