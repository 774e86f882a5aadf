"""Files of clients, to be named in the arguments of commands."""

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.file_body import sent_file
from muster.errors import ErrorCode, MusterError

LABEL = "uploads"


async def cli_upload(call: Call) -> web.Response:
    """Upload a file, as the part `file` of a form; name it in arguments as `file_id:<id>`."""
    if not call.request.content_type.startswith("multipart/"):
        raise MusterError(
            ErrorCode.INVALID_BODY,
            f"The body is {call.request.content_type}, not a form.",
            hint="Send multipart/form-data with the part file, for example with curl -F file=@data.csv.",
        )
    try:
        sent = await sent_file(call.request, call.edge.settings.max_upload_bytes)
    except MusterError as error:
        if "missing" in error.extra:
            raise MusterError(ErrorCode.UNPROCESSABLE, error.detail, hint=error.hint, extra=error.extra) from error
        raise
    record = await call.engine.files.upload(call.tenant, sent.name, sent.media_type, sent.chunks)
    folder = call.edge.settings.upload_dir or LABEL
    return json_answer({"file_id": record.file.id, "path": f"{folder}/{record.file.id}_{record.file.name}"})
