"""A job for testing one state function: call it, compare the value."""

from collections.abc import Mapping
from typing import Any

from muster.blueprint.facts import JobFacts
from muster.blueprint.job import DataT, InT, Job


def job_for(
    input: InT,  # noqa: A002 - the word users know
    *,
    data: DataT | None = None,
    results: Mapping[str, Any] | None = None,
    id: str = "018f0000-0000-7000-8000-000000000001",  # noqa: A002 - likewise
    tenant: str = "test",
    blueprint: str = "test",
) -> Job[InT, DataT]:
    """`decision = await check.call(job_for(Order(...)))`; the decision is one of `muster.core.decisions`."""
    facts = JobFacts(id, tenant, blueprint, input={}, results=dict(results or {}))
    return Job(facts, None, input=input, data={} if data is None else data)
