"""Structured logs on standard error: one event per line, for people at a terminal, as JSON elsewhere."""

import logging
import sys
from collections.abc import Mapping
from typing import Final, Literal, TextIO

import orjson
import structlog
from aiohttp import ClientPayloadError
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError
from structlog.typing import EventDict, Processor, WrappedLogger

LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
HIDDEN: Final = "(hidden)"
VALUE_CHARACTERS_MAX: Final = 2000
"""A longer value is cut: a log is no place for bodies."""
OF_STRANGERS: Final = (HttpProcessingError, RequestPayloadError, ClientPayloadError, ConnectionError)
_TELLTALE: Final = ("token", "secret", "password", "authorization", "api_key", "apikey", "cookie", "fence")


def configure_logs(
    *,
    level: Literal["debug", "info", "warning", "error"] = "info",
    log_format: Literal["auto", "json", "console"] = "auto",
    stream: TextIO | None = None,
) -> None:
    """Set up structlog for this process. `auto`: for reading at a terminal, else JSON."""
    out = sys.stderr if stream is None else stream
    console = log_format == "console" or (log_format == "auto" and out.isatty())
    rendering = _for_people(out) if console else _for_machines()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *_before_rendering(), *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    _adopt_standard_logging(out, LEVELS[level], rendering)


def _adopt_standard_logging(out: TextIO, level: int, rendering: list[Processor]) -> None:
    """Lines of `logging`, ours and of libraries, come out the same way; `extra` becomes fields."""
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *_before_rendering()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.getLogger("asyncio").setLevel(max(level, logging.WARNING))
    logging.getLogger("aiohttp.access").disabled = True  # the edge writes its own, without queries
    logging.getLogger("aiohttp.server").addFilter(_is_no_stranger)


def _is_no_stranger(record: logging.LogRecord) -> bool:
    """Drop what tells of bytes that are no HTTP and of callers who left: strangers could fill the log with them."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, OF_STRANGERS)


def hide_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace every value whose name says that it is a credential, at any depth."""
    return {key: _without_secrets(key, value) for key, value in event.items()}


def tame_text(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Make control and direction characters visible, so that no value can forge a line, and cut long ones."""
    return {
        key: _tame(value) if isinstance(value, str) and key != "exception" else value for key, value in event.items()
    }


def _before_rendering() -> list[Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
        tame_text,
    ]


def _for_people(out: TextIO) -> list[Processor]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=out.isatty(),
        exception_formatter=structlog.dev.plain_traceback,  # a richer one prints local variables: tokens
    )
    return [renderer]


def _for_machines() -> list[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]


def _json(event: object, **_: object) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


def _without_secrets(key: str, value: object) -> object:
    if isinstance(value, Mapping):
        return {str(inner): _without_secrets(str(inner), item) for inner, item in value.items()}
    if value is not None and any(word in key.lower() for word in _TELLTALE):
        return HIDDEN
    return value


def _tame(text: str) -> str:
    cut = text if len(text) <= VALUE_CHARACTERS_MAX else text[:VALUE_CHARACTERS_MAX] + "…"
    return cut if cut.isprintable() else "".join(map(_visible, cut))


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
