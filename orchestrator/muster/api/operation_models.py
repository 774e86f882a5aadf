"""Bodies and answers of the routes that operate on jobs."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, ConfigDict, Field, JsonValue, StrictStr

from muster.api.models import Answer, Request
from muster.core.limits import BULK_JOBS_MAX, PAUSE_REASON_CHARACTERS_MAX

By = Annotated[StrictStr, Field(max_length=256, description="Who does it; the client itself if not given.")]


class PauseJob(Request):
    """Holds a job."""

    reason: Annotated[
        StrictStr,
        Field(max_length=PAUSE_REASON_CHARACTERS_MAX, description="Why; shown with the job and by `why`."),
    ] = ""
    by: By = ""


class ResumeJob(Request):
    """Lets go of a paused job."""

    by: By = ""


class RetryJob(Request):
    """Starts a job that is over again. Members that are left out are as recorded."""

    state: Annotated[StrictStr | None, Field(description="Where to start; the state entered last if not given.")] = None
    argument: Annotated[JsonValue, Field(description="What the state is entered with.")] = None
    data: Annotated[JsonValue, Field(description="The blueprint's own data.")] = None
    new: Annotated[bool, Field(strict=True, description="As a new job, linked to this one, which stays as it is.")] = (
        False
    )
    version: Annotated[
        Literal["own", "newest"], Field(description="Of the blueprint: that of the job, or the newest there is.")
    ] = "own"
    key: Annotated[StrictStr, Field(max_length=255, description="With `new`: the same key means the same job.")] = ""
    by: By = ""


class Wanted(Request):
    """What jobs must be, all of it at once. Unknown members are refused: a misspelt one would mean more jobs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Annotated[tuple[StrictStr, ...], Field(description="One of these.", examples=[["failed"]])] = ()
    blueprint: StrictStr | None = None
    tag: StrictStr | None = None
    error: Annotated[StrictStr | None, Field(pattern="^[0-9a-f]{12}$", description="Fingerprint of the error.")] = None
    created_since: AwareDatetime | None = None
    created_until: AwareDatetime | None = None
    finished_since: AwareDatetime | None = None
    finished_until: AwareDatetime | None = None


class BulkJobs(Request):
    """One verb for the jobs that a filter finds. Unknown members are refused: a misspelt `dry_run` would not be one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Literal["cancel", "retry", "delete", "pause", "resume"]
    filter: Annotated[Wanted, Field(description="At least one member that is not null or empty.")]
    dry_run: Annotated[bool, Field(strict=True, description="Only say which jobs it would be.")] = False
    limit: Annotated[int, Field(ge=1, le=BULK_JOBS_MAX, strict=True)] = 100
    cursor: Annotated[StrictStr | None, Field(max_length=512, description="`next` of the request before.")] = None
    reason: Annotated[StrictStr, Field(max_length=PAUSE_REASON_CHARACTERS_MAX)] = ""
    by: By = ""


class BulkRefusal(Answer):
    job_id: str
    code: str
    detail: str


class BulkAnswer(Answer):
    matched: int
    done: int
    jobs: Annotated[list[str], Field(description="Those that were found.")]
    errors: Annotated[list[BulkRefusal], Field(description="Of these nothing was changed.")]
    next: Annotated[str | None, Field(description="`cursor` of the next request; null when all were dealt with.")]


class ErrorOfJobs(Answer):
    """Errors of one kind; the rest is of the job that ended last, null where it is gone."""

    fingerprint: str
    count: int
    job_id: str | None
    blueprint_name: str | None
    current_state: str | None
    message: str | None
    last_seen_at: AwareDatetime | None


class Errors(Answer):
    items: list[ErrorOfJobs]


class EnteredState(Answer):
    state: str
    argument: JsonValue
    data: JsonValue


class CaseFile(Answer):
    """A job with all that is needed to look at it elsewhere, and to run one of its states there."""

    format: Literal["muster-case/1"]
    job: dict[str, JsonValue]
    blueprint_version: str
    data: JsonValue
    entered: list[EnteredState]
    history: list[dict[str, JsonValue]]
    log: list[dict[str, JsonValue]]
    exported_at: AwareDatetime
