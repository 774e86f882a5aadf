"""The page behind a signed link: it shows a question and takes the answer. Looking at it decides nothing.

It needs no script. Who opens it is whoever holds the link; the token in it is what no other site can know.
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, urlencode

from aiohttp import web

from muster.api import approval_html as html
from muster.api.body import read_bytes
from muster.api.call import Call
from muster.api.form_fields import fields_of, read
from muster.core.approvals import Question
from muster.core.json import JsonValue
from muster.engine.approvals import Caller, Given, Look
from muster.errors import ErrorCode, MusterError

PREFIX: Final = "/_public/approvals"
BODY_BYTES_MAX: Final = 65_536
FIELDS_MAX: Final = 200
NOTE_CHARACTERS_MAX: Final = 2_000
NAME_CHARACTERS_MAX: Final = 200
_FORM: Final = "application/x-www-form-urlencoded"
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(html.STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}
_AGAIN: Final = frozenset(
    {
        ErrorCode.FORM_INVALID, ErrorCode.ALREADY_ANSWERED, ErrorCode.NOT_AN_APPROVER, ErrorCode.DELEGATION_REFUSED,
        ErrorCode.UNKNOWN_DECISION, ErrorCode.INVALID_BODY,
    }
)  # fmt: skip
"""Refusals after which the page is shown again, with what was written."""

Sent = Mapping[str, list[str]]


async def approval_page(call: Call) -> web.Response:
    """The question, with a form to answer it; or who decided it."""
    return _answer(html.page(await _look(call)))


async def answer_on_page(call: Call) -> web.Response:
    """What the page's form sends: an answer, or whom the say goes to."""
    sent = await _sent(call)
    look = await _look(call)
    try:
        if "to" in sent:
            await _delegate(call, look, sent)
        else:
            await _decide(call, look, sent)
    except MusterError as error:
        if error.code is ErrorCode.NOT_WAITING_FOR_DECISION:
            return _answer(html.page(await _look(call), said=error), error.status)
        if error.code not in _AGAIN:
            raise
        return _answer(html.page(await _look(call), sent=sent, said=error), error.status)
    # Reloading what follows sends nothing again.
    return web.Response(status=303, headers={**_HEADERS, "Location": "?" + urlencode({"token": _token(call)})})


def page_of_error(error: MusterError, path: str) -> web.Response:
    """Every error on these paths, for a person."""
    del path
    return _answer(html.error_page(error), error.status)


def refuse_pages_of_other_sites(call: Call) -> None:
    """A browser that says so sends no Origin worth anything: the page asks for no referrer. The token is the proof."""
    if call.request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
        raise MusterError(ErrorCode.FORBIDDEN, "Pages of other sites may not do this.", hint="Open the link itself.")


async def _look(call: Call) -> Look:
    return await call.engine.approvals.look(call.path["job_id"], _token(call))


def _token(call: Call) -> str:
    return call.query("token") or ""


async def _decide(call: Call, look: Look, sent: Sent) -> None:
    decision = _text(sent, "decision", NAME_CHARACTERS_MAX)
    question = Question() if look.wait is None else look.wait.question or Question()
    schema = question.form_of(decision)
    form: JsonValue = None if schema is None else read(fields_of(schema), sent)
    given = Given(
        decision,
        _text(sent, "by", NAME_CHARACTERS_MAX),
        _text(sent, "note", NOTE_CHARACTERS_MAX),
        form,
        _text(sent, "approver", NAME_CHARACTERS_MAX),
    )
    await call.engine.approvals.decide(look.record.id, given, Caller(token=_token(call)))


async def _delegate(call: Call, look: Look, sent: Sent) -> None:
    to = _text(sent, "to", NAME_CHARACTERS_MAX)
    if not to or not to.isprintable():
        raise MusterError(ErrorCode.INVALID_BODY, "Write the name of whom your say goes to.")
    approver = look.approver or _text(sent, "approver", NAME_CHARACTERS_MAX)
    note = _text(sent, "note", NOTE_CHARACTERS_MAX)
    await call.engine.approvals.delegate(look.record.id, approver, to, note, Caller(token=_token(call)))


async def _sent(call: Call) -> Sent:
    if call.request.content_type != _FORM:
        raise MusterError(
            ErrorCode.INVALID_BODY,
            f"This page takes {_FORM}, not {call.request.content_type[:100]}.",
            hint="Programs send JSON to /_public/webhooks/approval/{job_id}.",
        )
    data = await read_bytes(call.request, BODY_BYTES_MAX)
    try:
        return parse_qs(data.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError:
        raise MusterError(ErrorCode.INVALID_BODY, "What the form sent cannot be read.") from None


def _text(sent: Sent, name: str, most: int) -> str:
    text = (sent.get(name) or [""])[0].strip().replace("\r\n", "\n")
    if len(text) > most:
        raise MusterError(ErrorCode.INVALID_BODY, f"{name!r} is longer than {most} characters.")
    return text


def _answer(page: str, status: int = 200) -> web.Response:
    return web.Response(status=status, body=page.encode(), headers=_HEADERS)
