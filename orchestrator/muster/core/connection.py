"""A connection: a saved, named job definition, which may have a schedule. One model for the file and the API."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, NamedTuple, Self, TypeAlias

from muster_worker.command.contract import ATTEMPTS_MAX, COMMAND, CommandParams
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    field_validator,
    model_validator,
)

from muster.core.interval import parse_interval
from muster.core.limits import CATCH_UP_MAX, JITTER_S_MAX, SLOT_LATE_MS, SLOT_LATE_S_MAX
from muster.core.schedule import parse
from muster.core.timing import Punctuality, Timing

SCHEDULER: Final = "scheduler"
"""The tenant of scheduled runs that belong to nobody in particular."""
CONNECTION_TAG: Final = "connection"
"""On every run of every connection."""
BACKFILL_TAG: Final = "backfill"
"""On a scheduled run that was asked for afterwards."""
BATCH_TAG: Final = "connection-batch"
"""On a job that runs one connection after the other."""
SLOT_TAG: Final = "slot"
"""Before the moment, in milliseconds since 1970, for which a scheduled run was due."""
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_TENANT: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
PROBLEMS_MAX: Final = 20


class Problem(NamedTuple):
    """`pointer` as in JSON, for example `/command/argv`; empty for the whole."""

    pointer: str
    text: str

    def __str__(self) -> str:
        return f"{self.pointer[1:].replace('/', '.')}: {self.text}" if self.pointer else self.text


class ConnectionRefused(Exception):
    """The definition of a connection cannot be used."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))


def _plain_name(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise ValueError(f"{text[:100]!r} is not a name; use 1 to 64 of letters, digits and . _ -")
    return text


def _tenant_name(text: str) -> str:
    if _TENANT.fullmatch(text) is None:
        raise ValueError(f"{text[:100]!r} is not the name of a tenant")
    return text


Word = Annotated[StrictStr, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]

Tenant = Annotated[StrictStr, AfterValidator(_tenant_name)]

Overlap: TypeAlias = Literal["skip", "queue", "cancel_running", "allow"]
_DEFAULTS: Final = {
    "overlap": "skip",
    "catch_up": "latest",
    "late_seconds_max": SLOT_LATE_MS // 1000,
    "jitter_seconds": 0,
}
_OF_A_SCHEDULE: Final = frozenset(_DEFAULTS)
"""Members that a connection without a schedule has no use for."""


class Connection(BaseModel):
    """What to run under a name: a command, or a blueprint with its input.

    Attributes:
        type: a word for people; the kind of source, usually.
        schema_name: `schema` in JSON and TOML; where the data goes, for people. The name, where not given.
        attempts: how often a command that fails is run in all; a blueprint decides that itself.
        schedule: cron, five fields, in `timezone`.
        every, anchor: instead of it an interval, such as `15m`, and a moment that it is counted from.
        overlap: what becomes of a slot while the run before is active.
        catch_up: of late slots `none` is run, the `latest`, or the newest so many.
        late_seconds_max: a slot that is later than this is missed.
        jitter_seconds: each slot starts up to so much later, always the same for one slot.
        clients: the tenants that see it; None: all, or, where it was made by API, the one that made it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[StrictStr, AfterValidator(_plain_name)]
    type: Word = COMMAND
    enabled: StrictBool = True
    schema_name: Annotated[Word, Field(alias="schema")] = ""
    command: CommandParams | None = None
    blueprint: Annotated[StrictStr, Field(min_length=1, max_length=64)] | None = None
    initial_data: dict[str, JsonValue] = {}
    attempts: Annotated[StrictInt, Field(ge=1, le=ATTEMPTS_MAX)] = 1
    schedule: StrictStr | None = None
    timezone: StrictStr = "UTC"
    every: StrictStr | None = None
    anchor: datetime | None = None
    overlap: Overlap = "skip"
    catch_up: Literal["none", "latest"] | Annotated[StrictInt, Field(ge=1, le=CATCH_UP_MAX)] = "latest"
    late_seconds_max: Annotated[StrictInt, Field(ge=60, le=SLOT_LATE_S_MAX)] = SLOT_LATE_MS // 1000
    jitter_seconds: Annotated[StrictInt, Field(ge=0, le=JITTER_S_MAX)] = 0
    clients: Annotated[tuple[Tenant, ...], Field(min_length=1, max_length=1000)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        words = dict(given)
        if "schema" not in words and isinstance(words.get("name"), str):
            words["schema"] = words["name"]
        if "type" not in words and isinstance(words.get("blueprint"), str):
            words["type"] = words["blueprint"]
        return words

    @field_validator("command", mode="before")
    @classmethod
    def _no_word_is_lost(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        if "attempts" in given:
            raise ValueError("attempts stands beside command, not in it")
        unknown = sorted(given.keys() - CommandParams.model_fields.keys())
        if unknown:
            known = ", ".join(sorted(CommandParams.model_fields.keys() - {"attempts"}))
            raise ValueError(f"a command has no {unknown[0]!r}; it has {known}")
        return given

    @model_validator(mode="after")
    def _is_one_job(self) -> Self:
        if (self.command is None) == (self.blueprint is None):
            raise ValueError("give either command or blueprint")
        if self.command is not None and self.initial_data:
            raise ValueError("initial_data belongs to blueprint; a command stands under command")
        if self.blueprint is not None and self.attempts != 1:
            raise ValueError("attempts belongs to command; a blueprint says itself what is tried again")
        if self.schedule is not None and self.every is not None:
            raise ValueError("give either schedule (cron) or every (an interval), not both")
        if self.schedule is None and self.timezone != "UTC":
            raise ValueError("timezone belongs to schedule, and there is none")
        if self.every is None and self.anchor is not None:
            raise ValueError("anchor belongs to every, and there is none")
        self._check_timing()
        return self

    def _check_timing(self) -> None:
        timing = self.planned
        given = sorted(_OF_A_SCHEDULE & self.model_fields_set)
        if timing is None and any(getattr(self, name) != _DEFAULTS[name] for name in given):
            raise ValueError(f"{given[0]} belongs to schedule or every, and there is neither")

    @property
    def planned(self) -> Timing | None:
        """When it would run by itself, were it enabled. Raises ScheduleRefused while it is being checked."""
        if self.schedule is not None:
            return parse(self.schedule, self.timezone)
        return None if self.every is None else parse_interval(self.every, self.anchor)

    @property
    def timing(self) -> Timing | None:
        """When it runs by itself. None: never, also where it is disabled."""
        return self.planned if self.enabled else None

    def punctuality(self, name: str) -> Punctuality:
        """How its late slots are dealt with; *name* is that of the schedule in the deployment."""
        late_slots = {"none": 0, "latest": 1}.get(str(self.catch_up), self.catch_up)
        assert isinstance(late_slots, int)
        return Punctuality(late_slots, self.late_seconds_max * 1000, self.jitter_seconds * 1000, name)

    @property
    def tag(self) -> str:
        """Of all its runs, beside CONNECTION_TAG."""
        return f"{CONNECTION_TAG}:{self.name}"

    @property
    def tags(self) -> tuple[str, ...]:
        return (CONNECTION_TAG, self.tag)

    def is_seen_by(self, tenant: str) -> bool:
        return self.clients is None or tenant in self.clients

    @property
    def scheduled_tenant(self) -> str:
        """Whose the scheduled runs are, where the connection stands in the file: of its only client, else nobody's."""
        return self.clients[0] if self.clients is not None and len(self.clients) == 1 else SCHEDULER

    def facts(self) -> dict[str, Any]:
        """As JSON, the same that makes it."""
        found = self.model_dump(mode="json", by_alias=True, exclude={"command"})
        command = None if self.command is None else self.command.model_dump(mode="json", exclude_defaults=True)
        return {**found, "command": command}

    def record(self) -> dict[str, Any]:
        """The same to be saved, without what is as it would be anyway: servers of before may read it too."""
        plain = {**_DEFAULTS, "every": None, "anchor": None}
        return {name: value for name, value in self.facts().items() if plain.get(name, self) != value}

    def job(self) -> tuple[str, dict[str, Any]]:
        """Blueprint and `initial_data` of a run."""
        if self.blueprint is not None:
            return self.blueprint, self.initial_data
        assert self.command is not None
        labels = {
            **self.command.labels,
            "surface": "connections",
            "connection": self.name,
            "type": self.type,
            "schema": self.schema_name,
        }
        return COMMAND, {
            **self.command.model_dump(mode="json", exclude_defaults=True),
            "attempts": self.attempts,
            "labels": labels,
        }


def read_connection(given: object) -> Connection:
    """From JSON or TOML. Raises: ConnectionRefused, with every problem."""
    try:
        return Connection.model_validate(given)
    except ValidationError as invalid:
        found = invalid.errors(include_url=False, include_context=False, include_input=False)[:PROBLEMS_MAX]
        raise ConnectionRefused([_problem(error["loc"], error["msg"]) for error in found]) from None


def _problem(location: Sequence[str | int], text: str) -> Problem:
    pointer = "".join(f"/{part}" for part in location)
    return Problem(pointer, text.removeprefix("Value error, "))


def name_of_run(tags: tuple[str, ...]) -> str | None:
    """The connection whose run has these tags."""
    begin = f"{CONNECTION_TAG}:"
    return next((tag.removeprefix(begin) for tag in tags if tag.startswith(begin)), None)
