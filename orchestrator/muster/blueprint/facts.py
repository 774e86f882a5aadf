"""What the engine tells a state function about its job, and what it gets back."""

from dataclasses import dataclass, field

from muster.core.decisions import Decision
from muster.core.json import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class JobFacts:
    """Plain JSON, as stored. `results` is the job's `state_history` so far."""

    id: str
    tenant: str
    blueprint: str
    input: JsonObject
    data: JsonValue = None
    results: JsonObject = field(default_factory=dict[str, JsonValue])
    partitions: int = 1
    """Of the deployment: where spread children may live."""


@dataclass(frozen=True, slots=True)
class Entered:
    """A state function's decision, and `job.data` as it left it."""

    decision: Decision
    data: JsonValue
