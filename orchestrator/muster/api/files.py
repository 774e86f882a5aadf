"""Files of clients, and whoever holds a signed URL. Answers never let a browser run what somebody uploaded."""

import time
from typing import Final

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.file_body import raw_chunks, sent_file
from muster.api.models import PlanUpload
from muster.api.stored_file import stored_file
from muster.api.wire import artifact_object, time_text, upload_object
from muster.core.file_record import FileRecord, job_of_artifact
from muster.core.ids import UnixMs
from muster.engine.files import Files
from muster.errors import ErrorCode, MusterError
from muster.files.names import safe_name

SIGNED_DOWNLOAD_S: Final = 7200
_SAFETY: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-cache",
}


async def upload_file(call: Call) -> web.Response:
    """Upload a file: the body itself with `?name=`, or the part `file` of a form. Only whole files are kept."""
    sent = await sent_file(call.request, call.edge.settings.max_upload_bytes)
    record = await call.engine.files.upload(call.tenant, sent.name, sent.media_type, sent.chunks)
    return json_answer(upload_object(record), status=201, headers={"Location": f"/api/v1/files/{record.file.id}"})


async def plan_upload(call: Call) -> web.Response:
    """A URL by which somebody without a token can send one file, once, with a plain PUT."""
    order = call.body(PlanUpload)
    upload, until = await call.engine.files.plan_upload(call.tenant, order.name, order.media_type)
    url = signed_url(call, "PUT", upload, until // 1000)
    return json_answer({"file_id": upload, "upload_url": url, "expires_at": time_text(until)}, status=201)


async def sign_download(call: Call) -> web.Response:
    """A URL by which somebody without a token can fetch the file for two hours."""
    record = await call.engine.files.find(call.tenant, _file_id(call))
    expires_s = int(time.time()) + SIGNED_DOWNLOAD_S
    url = signed_url(call, "GET", record.file.id, expires_s)
    return json_answer({"download_url": url, "expires_at": time_text(UnixMs(expires_s * 1000))})


async def sign_artifact(call: Call) -> web.Response:
    """A URL by which somebody without a token can fetch the artifact for two hours."""
    return await sign_download(call)


async def download_file(call: Call) -> web.StreamResponse:
    """The file's bytes; `Range` and conditional requests are understood."""
    return file_answer(call.engine.files, await call.engine.files.find(call.tenant, _file_id(call)))


async def delete_file(call: Call) -> web.Response:
    await call.engine.files.delete(call.tenant, _file_id(call))
    return web.Response(status=204)


async def list_artifacts(call: Call) -> web.Response:
    record = await call.engine.job(call.tenant, call.path["job_id"])
    found = await call.engine.files.artifacts(record.id)
    return json_answer({"items": [artifact_object(artifact) for artifact in found]})


async def download_artifact(call: Call) -> web.StreamResponse:
    """An artifact's bytes; `Range` and conditional requests are understood."""
    return file_answer(call.engine.files, await _artifact(call))


async def delete_artifact(call: Call) -> web.Response:
    artifact = await _artifact(call)
    await call.engine.files.delete(call.tenant, artifact.file.id)
    return web.Response(status=204)


async def download_zip(call: Call) -> web.Response:
    """All artifacts of the job as one zip, made while it is sent."""
    record = await call.engine.job(call.tenant, call.path["job_id"])
    entries = await call.engine.files.zip_entries(record.id)
    return web.Response(
        body=call.engine.files.zipped(entries),
        headers={**_SAFETY, "Content-Type": "application/zip", "Content-Disposition": _attachment(f"{record.id}.zip")},
    )


async def receive_signed(call: Call) -> web.Response:
    """The file for which the URL was signed, as the bare body. It works once."""
    chunks = raw_chunks(call.request, call.edge.settings.max_upload_bytes)
    record = await call.engine.files.send_planned(call.path["file_id"], chunks)
    return json_answer(upload_object(record))


async def send_signed(call: Call) -> web.StreamResponse:
    """The file for which the URL was signed; `Range` and conditional requests are understood."""
    return file_answer(call.engine.files, await call.engine.files.find_any(call.path["file_id"]))


def refuse_unsigned(call: Call) -> None:
    """Refuse a signature that is forged, for another file or method, or over."""
    method = "PUT" if call.request.method == "PUT" else "GET"
    expires, signature = call.query("exp") or "", call.query("sig") or ""
    path = _signed_path(call.path["file_id"])
    if not call.engine.files.signer.allows(method, path, expires, signature, time.time()):
        raise MusterError(
            ErrorCode.SIGNATURE_REFUSED,
            "The signature of this URL is not valid, or its time is over.",
            hint="Ask for a new URL, and use it as it is.",
        )


def file_answer(files: Files, record: FileRecord) -> web.StreamResponse:
    """The bytes of *record*, as something to save and never to show."""
    return stored_file(files, record, {**_SAFETY, "Content-Disposition": _attachment(record.file.name)})


async def _artifact(call: Call) -> FileRecord:
    job = await call.engine.job(call.tenant, call.path["job_id"])
    record = await call.engine.files.find(call.tenant, call.path["artifact_id"])
    if job_of_artifact(record.file.id) != job.id:
        raise MusterError(ErrorCode.FILE_NOT_FOUND, "File not found")
    return record


def _file_id(call: Call) -> str:
    return call.path.get("file_id") or call.path["artifact_id"]


def signed_url(call: Call, method: str, file_id: str, expires_s: int) -> str:
    """An absolute URL for *method*, GET or PUT, on the file; until *expires_s* it needs no header."""
    base = call.edge.settings.public_url or f"{call.request.scheme}://{call.request.host}"
    path = _signed_path(file_id)
    return f"{base.rstrip('/')}{path}?{call.engine.files.signer.query(method, path, expires_s)}"


def _signed_path(file_id: str) -> str:
    return f"/_files/{file_id}"


def _attachment(name: str) -> str:
    return f'attachment; filename="{safe_name(name)}"'
