"""Bodies and answers of the routes about blueprints, as the reference shows them."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from muster.api.models import Answer

Version = Annotated[str, Field(examples=["3:0f3a9c2e"], min_length=1, max_length=80)]


class PutRollout(BaseModel):
    """Which version a share of new jobs begins with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Annotated[Version, Field(description="The whole version, or its number.")]
    share: Annotated[int, Field(ge=0, le=100, strict=True, description="Of a hundred new jobs.")]


class RolloutState(Answer):
    version: Version
    share: int
    base: Annotated[Version, Field(description="What the other new jobs begin with.")]


class CurrentVersion(Answer):
    version: Annotated[str | None, Field(description="What all new jobs begin with now.")]


class BlueprintVersion(Answer):
    version: Version
    saved_at: AwareDatetime | None
    saved_by: str | None


class BlueprintState(Answer):
    name: str
    version: str | None
    source: Annotated[Literal["api", "code"], Field(description="`code`: it is in the server's files.")]
    in_service: Annotated[bool, Field(description="False: jobs go on, but no new ones begin.")]
    versions: Annotated[list[BlueprintVersion], Field(description="Those that jobs may still be on.")]
    rollout: RolloutState | None
    url: str | None = None
    description: str | None = None
    states: list[str] | None = None
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    spec: Annotated[dict[str, Any] | None, Field(description="What was saved, where it is data.")] = None


class SavedBlueprint(Answer):
    name: str
    version: Version
    url: str
    is_new: Annotated[bool, Field(description="False: the same was saved before.")]
    rollout: RolloutState | None


class Migrate(BaseModel):
    """Which running jobs go on with which version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: Annotated[Version, Field(description="The whole version, or its number.")]
    source: Annotated[Version | None, Field(alias="from", description="Only jobs of this version or number.")] = None
    map: Annotated[
        dict[str, str], Field(max_length=500, description="What states of the old version are called in the new one.")
    ] = {}
    dry_run: Annotated[bool, Field(strict=True, description="Only say what would become of them.")] = True
    limit: Annotated[int, Field(ge=1, le=200, strict=True, description="Jobs looked at in this request.")] = 100
    cursor: Annotated[str | None, Field(max_length=256, description="`next` of the answer before.")] = None


class StateMigration(Answer):
    state: str
    moved: Annotated[int, Field(description="Jobs that were moved; of a dry run, that would be.")]
    stayed: Annotated[dict[str, int], Field(description="Jobs that were not, by the code of the reason.")]


class StayedJob(Answer):
    job_id: str
    state: str
    code: Annotated[
        Literal[
            "state_missing", "edge_missing", "task_changed", "argument_misfit", "input_misfit", "data_misfit", "busy"
        ],
        Field(description="Why."),
    ]
    detail: str


class Migrated(Answer):
    to: Version
    dry_run: bool
    states: list[StateMigration]
    stayed: Annotated[list[StayedJob], Field(description="50 at most.")]
    next: Annotated[str | None, Field(description="Pass it as `cursor` for the rest; null: that was all.")]
