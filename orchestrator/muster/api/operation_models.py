"""Bodies and answers of the routes that operate on jobs."""

from typing import Annotated

from pydantic import Field, StrictStr

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
