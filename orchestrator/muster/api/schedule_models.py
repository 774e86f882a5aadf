"""Bodies and answers of the routes about schedules."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from muster.api.models import Answer
from muster.core.limits import PAUSE_REASON_CHARACTERS_MAX

_YEARS = (1970, 9999)


class PauseSchedule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Annotated[str, Field(max_length=PAUSE_REASON_CHARACTERS_MAX, description="Shown to whoever looks.")] = ""


class StartBackfill(BaseModel):
    """The slots of a time that has passed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    from_: Annotated[AwareDatetime, Field(alias="from", description="The first moment, included.")]
    until: Annotated[AwareDatetime, Field(description="The last moment, included; not in the future.")]
    overlap: Annotated[Literal["allow", "queue"], Field(description="All slots at once, or one after the other.")] = (
        "allow"
    )
    dry_run: Annotated[bool, Field(strict=True, description="Say which slots those are, and run none.")] = False
    id: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9_-]{1,64}$",
            description="The same one sent twice is one backfill; made up if not given.",
        ),
    ] = None


class PauseOfSchedule(Answer):
    at: AwareDatetime
    by: Annotated[str, Field(description="The tenant that paused it.")]
    reason: str


class SlotFate(Answer):
    at: AwareDatetime
    outcome: Literal["run", "skipped", "queued", "paused", "missed", "refused"]
    detail: Annotated[str, Field(description="The job that was made, or was still active; or why there is none.")]
    late_seconds: Annotated[float | None, Field(description="How long after its moment it was dealt with.")]


class BackfillState(Answer):
    id: str
    from_: Annotated[AwareDatetime, Field(alias="from")]
    until: AwareDatetime
    state: Literal["running", "done", "cancelled"]
    overlap: Literal["allow", "queue"]
    total: int
    made: Annotated[int, Field(description="Slots whose job was made.")]
    already_there: Annotated[int, Field(description="Slots that had their job.")]
    refused: Annotated[int, Field(description="Slots whose job could not be made; `detail` has the last reason.")]
    detail: str
    by: str


class Schedule(Answer):
    """A schedule, how it stands and what became of its last slots."""

    name: Annotated[str, Field(description="The connection's.")]
    enabled: bool
    schedule: str | None
    timezone: str
    every: str | None
    anchor: AwareDatetime | None
    overlap: Literal["skip", "queue", "cancel_running", "allow"]
    catch_up: Annotated[Any, Field(description="`none`, `latest`, or how many.")]
    late_seconds_max: int
    jitter_seconds: int
    next_run_at: Annotated[AwareDatetime | None, Field(description="None while it is paused or disabled.")]
    paused: PauseOfSchedule | None
    queued: Annotated[list[AwareDatetime], Field(description="Slots that wait for the run before.")]
    recent: Annotated[list[SlotFate], Field(description="Newest first, 50 at most.")]
    backfill: BackfillState | None


class Schedules(Answer):
    items: list[Schedule]


class SlotTimes(Answer):
    items: list[AwareDatetime]


class BackfillAnswer(Answer):
    total: int
    slots: Annotated[list[AwareDatetime], Field(description="The first 100.")]
    backfill: Annotated[BackfillState | None, Field(description="None for a dry run, and where there is no slot.")]


def read_moment(text: str) -> datetime | None:
    """ISO 8601 with a time zone; None for anything else."""
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # a plus that was not escaped in a URL
    except ValueError:
        return None
    return moment if moment.tzinfo is not None and _YEARS[0] <= moment.year < _YEARS[1] else None
