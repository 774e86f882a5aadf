"""Files in a bucket: the same promises as on a disk, kept by a server that speaks S3."""

import io
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from muster.files.bucket import BucketBlobs, BucketMissing
from muster.files.spool import Incoming

from tests.api.conftest import ALICE, BOB
from tests.files.conftest import MakeSite, Site

BUCKET = "muster-files"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3 server with one bucket."""
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in (
        ("AWS_ENDPOINT_URL", s3),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=s3, region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    yield f"s3://{BUCKET}/fleet"
    for found in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        client.delete_object(Bucket=BUCKET, Key=found["Key"])
    client.close()


@pytest.fixture
async def site(make_site: MakeSite, bucket: str) -> Site:
    return await make_site(bucket_url=bucket)


@pytest.fixture
def objects(s3: str) -> Iterator[object]:
    """Lists the keys that are in the bucket."""
    client = boto3.client("s3", endpoint_url=s3, region_name="us-east-1")
    yield lambda: [found["Key"] for found in client.list_objects_v2(Bucket=BUCKET).get("Contents", ())]
    client.close()


async def test_what_was_uploaded_is_in_the_bucket_and_nothing_stays_on_the_disk(site: Site, objects: object) -> None:
    content = b"x" * 300_000
    file_id = await site.upload(content)
    assert [file_id in key for key in objects()] == [True]  # type: ignore[operator]
    assert site.on_disk() == []
    answer = await site.http.get(f"/api/v1/files/{file_id}", headers=ALICE)
    assert (answer.status, await answer.read()) == (200, content)
    assert (await site.http.get(f"/api/v1/files/{file_id}", headers=BOB)).status == 404


@pytest.mark.parametrize(
    ("asked", "status", "body", "content_range"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=-0", 416, b"", "bytes */10"),
        ("bytes=nonsense", 200, b"0123456789", None),
        ("bytes=0-1,5-6", 200, b"0123456789", None),
    ],
)
async def test_a_part_of_a_file_may_be_asked_for(
    site: Site, asked: str, status: int, body: bytes, content_range: str | None
) -> None:
    file_id = await site.upload(b"0123456789")
    answer = await site.http.get(f"/api/v1/files/{file_id}", headers={**ALICE, "Range": asked})
    assert (answer.status, await answer.read(), answer.headers.get("Content-Range")) == (status, body, content_range)


async def test_a_part_of_another_version_is_not_sent(site: Site) -> None:
    path = f"/api/v1/files/{await site.upload(b'0123456789')}"
    asked = {**ALICE, "Range": "bytes=2-4"}
    tag = (await site.http.head(path, headers=ALICE)).headers["ETag"]
    for condition, status in ((tag, 206), ('"other"', 200), (f"W/{tag}", 200), ("Thu, 01 Jan 1970 00:01:00 GMT", 200)):
        assert (await site.http.get(path, headers={**asked, "If-Range": condition})).status == status


async def test_who_has_the_file_already_is_told_so_and_head_sends_no_body(site: Site) -> None:
    file_id = await site.upload(b"0123456789")
    path = f"/api/v1/files/{file_id}"
    head = await site.http.head(path, headers=ALICE)
    assert (head.status, head.headers["Content-Length"], await head.read()) == (200, "10", b"")
    again = await site.http.get(path, headers={**ALICE, "If-None-Match": head.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")


async def test_a_job_s_artifacts_come_as_a_zip(site: Site) -> None:
    held = await site.hold()
    await site.keep(held, b"one", "a.txt")
    await site.keep(held, b"two" * 500_000, "b.txt")
    answer = await site.http.get(f"/api/v1/jobs/{held.job_id}/artifacts.zip", headers=ALICE)
    with zipfile.ZipFile(io.BytesIO(await answer.read())) as zipped:
        assert {name: zipped.read(name) for name in zipped.namelist()} == {"a.txt": b"one", "b.txt": b"two" * 500_000}


async def test_an_empty_file_is_a_file(site: Site) -> None:
    file_id = await site.upload(b"")
    answer = await site.http.get(f"/api/v1/files/{file_id}", headers=ALICE)
    assert (answer.status, await answer.read()) == (200, b"")


async def test_a_deleted_file_leaves_the_bucket_and_the_account(site: Site, objects: object) -> None:
    file_id = await site.upload(b"12345")
    assert (await site.http.delete(f"/api/v1/files/{file_id}", headers=ALICE)).status == 204
    assert objects() == []  # type: ignore[operator]
    assert await site.state.files.used("alice") == 0


async def test_an_upload_that_ends_early_leaves_nothing(site: Site, objects: object) -> None:
    async def cut_short() -> AsyncIterator[bytes]:
        yield b"some"
        raise ConnectionResetError

    with pytest.raises(ConnectionError):
        await site.engine.files.upload("alice", "a.txt", None, cut_short())
    assert (objects(), site.on_disk()) == ([], [])  # type: ignore[operator]


async def test_bytes_that_no_record_names_are_pruned_and_what_others_put_there_stays(
    site: Site, objects: object, s3: str
) -> None:
    kept = await site.upload(b"kept")
    lost = await site.upload(b"lost")
    del site.state.files._uploads[lost]
    client = boto3.client("s3", endpoint_url=s3, region_name="us-east-1")
    client.put_object(Bucket=BUCKET, Key="fleet/notes.txt", Body=b"mine")
    client.close()
    assert await site.pruning.run_once() == 1
    left = objects()  # type: ignore[operator]
    assert len(left) == 2
    assert any(kept in key for key in left)


async def test_a_bucket_that_does_not_answer_is_told_and_nothing_is_written_down(
    make_site: MakeSite, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await make_site(bucket_url=bucket)
    blobs = site.engine.files.blobs
    assert isinstance(blobs, BucketBlobs)
    nowhere = BucketBlobs.at("s3://there-is-none", "x", Path(site.folder))
    monkeypatch.setattr(blobs, "_bucket", nowhere._bucket)
    answer = await site.http.post("/api/v1/files?name=a.txt", data=io.BytesIO(b"x"), headers=ALICE)
    assert (answer.status, (await answer.json())["code"]) == (503, "file_storage_unavailable")
    assert site.on_disk() == []
    assert await site.state.files.used("alice") == 0
    nowhere.close()


def test_without_obstore_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore.exceptions", None)
    with pytest.raises(BucketMissing, match="muster-fleet\\[server,s3\\]"):
        BucketBlobs.at("s3://bucket", "x", tmp_path)


async def test_what_is_sent_to_the_bucket_is_taken_from_the_disk_in_parts(site: Site, tmp_path: Path) -> None:
    blobs = site.engine.files.blobs
    size = 20 * 1024 * 1024
    async with blobs.receive(size) as incoming:
        assert isinstance(incoming, Incoming)
        for _ in range(20):
            await incoming.write(b"y" * (1024 * 1024))
        await incoming.finish()
        blob = f"{'a' * 16}-{'b' * 32}-{'c' * 16}"
        await incoming.keep_as(blob)
    read = 0
    async for piece in blobs.read(blob, 0, size):
        read += len(piece)
    assert read == size
