"""The execution that a URL names, and what it was given."""

from collections.abc import Mapping
from typing import Any

from muster.api.call import Call
from muster.core.record import JobRecord
from muster.errors import ErrorCode, MusterError


async def execution_of(call: Call) -> JobRecord:
    """The job of `{execution_id}`: of whichever blueprint, as a job is the same on every surface.

    Raises:
        MusterError: JOB_NOT_FOUND, for unknown ids and for those of other tenants alike.
    """
    try:
        return await call.engine.job(call.tenant, call.path["execution_id"])
    except MusterError as error:
        raise _as_execution(error) from None


def _as_execution(error: MusterError) -> MusterError:
    return MusterError(error.code, "Execution not found") if error.code is ErrorCode.JOB_NOT_FOUND else error


def members_of(record: JobRecord) -> list[Mapping[str, Any]]:
    """`inputs` of a command; none of other blueprints."""
    members = record.submission.initial_data.get("inputs")
    known = members if isinstance(members, list) else []
    return [member for member in known if isinstance(member, Mapping) and isinstance(member.get("name"), str)]
