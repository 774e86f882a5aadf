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
    spec: Annotated[dict[str, Any] | None, Field(description="What was saved, where it is data.")] = None


class SavedBlueprint(Answer):
    name: str
    version: Version
    url: str
    is_new: Annotated[bool, Field(description="False: the same was saved before.")]
    rollout: RolloutState | None
