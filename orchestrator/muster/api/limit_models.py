"""Bodies and answers of the routes about limits, as the reference shows them. `core.flow` checks them."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from muster.api.models import Answer


class SetLimit(BaseModel):
    """A limit: `max`, or `rate` with `per`, or a tenant's `weight`, or several of them. Other members are refused."""

    model_config = ConfigDict(extra="allow", frozen=True)

    max: Annotated[Any, Field(description="So many tasks run at once; 0 is a pause.", examples=[5])] = None
    rate: Annotated[Any, Field(description="So many tasks start in the time `per`, evenly.", examples=[10])] = None
    per: Annotated[Any, Field(description="A duration such as `1s` or `1m`, or seconds.", examples=["1m"])] = None
    burst: Annotated[Any, Field(description="So many of them may start together; 1.")] = None
    weight: Annotated[Any, Field(description="Of a tenant: 2 is twice the share of 1.", examples=[2])] = None

    def given(self) -> dict[str, Any]:
        """What was sent, as it was."""
        return self.model_dump(exclude_unset=True)


class Limit(Answer):
    """A limit and how it stands."""

    scope: str
    name: str
    tenant: Annotated[str | None, Field(description="Whose key; null for the other scopes.")]
    max: int | None
    rate: int | None
    per_seconds: float | None
    burst: int | None
    weight: float | None
    paused: bool
    source: Annotated[
        str | None,
        Field(description="`api`: set by a call, which comes before `file`: set in a file. Null of a mere pause."),
    ]
    opens_at: Annotated[
        datetime | None,
        Field(description="When the next task may start, where the rate lets none start now. Null of a group of keys."),
    ]
    running: Annotated[int | None, Field(description="Tasks that hold a slot of it; null of a group of keys.")]
    held_by: Annotated[list[str], Field(description="Up to ten of them, those that have it longest first.")]


class Limits(Answer):
    items: list[Limit]
