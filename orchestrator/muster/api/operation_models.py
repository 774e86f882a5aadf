"""Bodies and answers of the routes that operate on jobs."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StrictStr

from muster.api.models import Request
from muster.core.limits import PAUSE_REASON_CHARACTERS_MAX

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
    new: Annotated[bool, Field(description="As a new job, linked to this one, which stays as it is.")] = False
    version: Annotated[
        Literal["own", "newest"], Field(description="Of the blueprint: that of the job, or the newest there is.")
    ] = "own"
    key: Annotated[StrictStr, Field(max_length=255, description="With `new`: the same key means the same job.")] = ""
    by: By = ""
