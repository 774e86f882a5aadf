"""Signed URLs: one file, one purpose, for a while; an upload works once."""

import asyncio
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.api.conftest import ALICE
from tests.files.conftest import MakeSite, Site


async def planned(site: Site) -> tuple[str, str]:
    """A signed upload: the file's id, and the URL without the server."""
    answer = await site.http.post("/api/v1/files/signed-upload", json={"name": "in.csv"}, headers=ALICE)
    told = await answer.json()
    assert answer.status == 201, told
    assert told["upload_url"].startswith(str(site.http.make_url("/_files/")))
    return told["file_id"], told["upload_url"].partition(str(site.http.make_url("/")))[2]


async def download_url(site: Site, file_id: str) -> str:
    answer = await site.http.post(f"/api/v1/files/{file_id}/signed-url", headers=ALICE)
    url: str = (await answer.json())["download_url"]
    return "/" + url.partition(str(site.http.make_url("/")))[2]


async def code_of(site: Site, method: str, url: str) -> tuple[int, str]:
    answer = await site.http.request(method, url, data=b"x" if method == "PUT" else None)
    return answer.status, (await answer.json())["code"]


REFUSED = (403, "signature_refused")


async def test_a_file_is_sent_by_its_url_without_a_token_and_only_once(site: Site) -> None:
    file_id, url = await planned(site)
    path = f"/api/v1/files/{file_id}"
    assert (await site.http.get(path, headers=ALICE)).status == 404
    sent = await site.http.put(f"/{url}", data=b"a,b\n")
    assert (sent.status, (await sent.json())["size"]) == (200, 4)
    read = await site.http.get(path, headers=ALICE)
    assert (await read.read(), read.headers["Content-Type"]) == (b"a,b\n", "text/csv")
    assert await code_of(site, "PUT", f"/{url}") == REFUSED
    assert await (await site.http.get(path, headers=ALICE)).read() == b"a,b\n"
    assert len(site.on_disk()) == 1


async def test_of_two_who_use_one_url_at_once_one_is_refused(site: Site) -> None:
    file_id, url = await planned(site)
    answers = await asyncio.gather(*(site.http.put(f"/{url}", data=word) for word in (b"one", b"two")))
    assert sorted(answer.status for answer in answers) == [200, 403]
    winner = next(word for word, answer in zip((b"one", b"two"), answers, strict=True) if answer.status == 200)
    assert await (await site.http.get(f"/api/v1/files/{file_id}", headers=ALICE)).read() == winner
    assert len(site.on_disk()) == 1
    assert await site.state.files.used("alice") == 3


async def test_an_upload_cut_short_may_be_sent_again(site: Site) -> None:
    _, url = await planned(site)
    _, writer = await asyncio.open_connection("127.0.0.1", site.http.port)
    writer.write(f"PUT /{url} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf".encode())
    await writer.drain()
    writer.transport.abort()
    assert (await site.http.put(f"/{url}", data=b"whole")).status == 200


@pytest.mark.parametrize("method", ["PUT", "GET"])
async def test_a_changed_or_missing_signature_is_refused(site: Site, method: str) -> None:
    file_id, upload = await planned(site)
    other = await site.upload(b"other")
    url = f"/{upload}" if method == "PUT" else await download_url(site, other)
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    exp, sig = query["exp"], query["sig"]
    path = urlsplit(url).path
    turned = ("B" if sig[0] == "A" else "A") + sig[1:]
    for changed in (
        path,
        f"{path}?exp={exp}",
        f"{path}?sig={sig}",
        f"{path}?exp={exp}&sig={turned}",
        f"{path}?exp={exp}&sig={sig[:-1]}",
        f"{path}?exp={int(exp) + 1}&sig={sig}",
        f"{path}?exp=-1&sig={sig}",
        f"{path}?exp=1e99&sig={sig}",
        f"{path}?exp={exp}&sig=%ff%fe",
        f"/_files/{file_id if method == 'GET' else other}?exp={exp}&sig={sig}",
        f"/_files/{'0' * 32}?exp={exp}&sig={sig}",
    ):
        assert await code_of(site, method, changed) == REFUSED, changed
    assert await code_of(site, "GET" if method == "PUT" else "PUT", url) == REFUSED


async def test_a_signature_ends(site: Site) -> None:
    file_id = await site.upload(b"x")
    past = int(time.time()) - 1
    for method in ("GET", "PUT"):
        path = f"/_files/{file_id}"
        url = f"{path}?{site.engine.files.signer.query(method, path, past)}"
        assert await code_of(site, method, url) == REFUSED


async def test_a_file_is_fetched_by_its_url_in_parts_and_safely(site: Site) -> None:
    url = await download_url(site, await site.upload(b"<script>", "page.html"))
    answer = await site.http.get(url)
    assert (answer.status, await answer.read()) == (200, b"<script>")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    part = await site.http.get(url, headers={"Range": "bytes=1-3"})
    assert (part.status, await part.read()) == (206, b"scr")
    assert (await site.http.head(url)).status == 200


async def test_the_url_of_a_deleted_file_leads_nowhere(site: Site) -> None:
    file_id = await site.upload(b"x")
    url = await download_url(site, file_id)
    await site.http.delete(f"/api/v1/files/{file_id}", headers=ALICE)
    assert await code_of(site, "GET", url) == (404, "file_not_found")


async def test_an_artifact_has_a_signed_url_too(site: Site) -> None:
    kept = await site.keep(await site.hold(), b"made")
    answer = await site.http.post(f"/api/v1/artifacts/{kept['artifact_id']}/signed-url", headers=ALICE)
    url = "/" + (await answer.json())["download_url"].partition(str(site.http.make_url("/")))[2]
    assert await (await site.http.get(url)).read() == b"made"


async def test_signed_urls_name_the_public_address_where_one_is_set(make_site: MakeSite) -> None:
    site = await make_site(public_url="https://muster.example.org/fleet/")
    answer = await site.http.post("/api/v1/files/signed-upload", json={"name": "a"}, headers=ALICE)
    assert (await answer.json())["upload_url"].startswith("https://muster.example.org/fleet/_files/")


async def test_a_name_is_needed_for_a_signed_upload(site: Site) -> None:
    answer = await site.http.post("/api/v1/files/signed-upload", json={}, headers=ALICE)
    assert (answer.status, (await answer.json())["code"]) == (400, "invalid_body")
