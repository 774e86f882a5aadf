"""Bodies and answers of the routes about connections, as the reference shows them. `core.connection` checks them."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from muster.api.models import Answer


class SaveConnection(BaseModel):
    """A connection: either `command` or `blueprint`. Members that are not named here are refused."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Annotated[Any, Field(description="1 to 64 of letters, digits and . _ -", examples=["trello"])] = None
    type: Annotated[Any, Field(description="A word for people; `command`, or the blueprint's name.")] = None
    enabled: Annotated[Any, Field(description="Whether it runs by itself and with all others; true.")] = None
    schema_: Annotated[
        Any, Field(alias="schema", description="Where its data goes, for people; the name, if not given.")
    ] = None
    command: Annotated[
        Any, Field(description="As the input of the blueprint `command`: `argv`, or `script_content` and `runtime`, …")
    ] = None
    blueprint: Annotated[Any, Field(description="The blueprint whose job a run is.")] = None
    initial_data: Annotated[Any, Field(description="The blueprint's input.")] = None
    attempts: Annotated[Any, Field(description="How often a command that fails is run in all, 1 to 10; 1.")] = None
    schedule: Annotated[
        Any, Field(description="Cron: minute, hour, day of month, month, day of week.", examples=["0 6 * * MON-FRI"])
    ] = None
    timezone: Annotated[Any, Field(description="Of the schedule; UTC.", examples=["Europe/Berlin"])] = None
    every: Annotated[Any, Field(description="Instead of it an interval: `90s`, `15m`, `1d`.", examples=["15m"])] = None
    anchor: Annotated[Any, Field(description="A moment that the interval is counted from; 1970.")] = None
    overlap: Annotated[
        Any, Field(description="While the run before is active: `skip` (default), `queue`, `cancel_running`, `allow`.")
    ] = None
    catch_up: Annotated[
        Any, Field(description="Of late slots `none` is run, the `latest` (default), or the newest so many.")
    ] = None
    late_seconds_max: Annotated[Any, Field(description="A slot later than this is missed; 3600.")] = None
    jitter_seconds: Annotated[Any, Field(description="Each slot starts up to so much later; 0.")] = None

    def given(self) -> dict[str, Any]:
        """What was sent, as it was."""
        return self.model_dump(exclude_unset=True, by_alias=True)


class ConnectionRun(Answer):
    """A run that has ended."""

    job_id: str
    status: str
    started_at: AwareDatetime
    finished_at: AwareDatetime
    error: str | None


class LastSlot(Answer):
    """What became of the last time at which it was to run by itself."""

    at: AwareDatetime
    outcome: Literal["run", "skipped", "queued", "paused", "missed", "refused"]
    detail: Annotated[str, Field(description="The job that was made, or was still active; or why there is none.")]


class SavedConnection(Answer):
    """A connection as the caller sees it."""

    name: str
    type: str
    enabled: bool
    schema_: Annotated[str, Field(alias="schema")]
    command: dict[str, Any] | None
    blueprint: str | None
    initial_data: dict[str, Any]
    attempts: int
    schedule: str | None
    timezone: str
    every: str | None
    anchor: AwareDatetime | None
    overlap: str
    catch_up: Any
    late_seconds_max: int
    jitter_seconds: int
    clients: Annotated[list[str] | None, Field(description="Not told of one in the server's file.")] = None
    source: Annotated[Literal["file", "api"], Field(description="`file`: it cannot be changed by API.")]
    changed_at: AwareDatetime | None
    next_run_at: AwareDatetime | None
    last_run: ConnectionRun | None
    last_slot: LastSlot | None


class Connections(Answer):
    items: list[SavedConnection]


class StartedRun(Answer):
    status: Literal["accepted"]
    job_id: str
