"""The command `muster cost`."""

from datetime import date
from typing import Annotated, Final

from cyclopts import Parameter

from muster.cli.connection import HERE, Server, connect
from muster.cli.output import Format, hint, print_json, print_table

MICROS: Final = 1_000_000


async def cost(
    *,
    since: Annotated[date | None, Parameter(help="First day of creation, a week before the last if not given.")] = None,
    until: Annotated[date | None, Parameter(help="Last day, today if not given (UTC).")] = None,
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """Show what jobs cost, by the day they were created and by what they ran."""
    async with connect(server) as client:
        found = await client.costs(since, until)
    if output == "json":
        print_json(found.model_dump(mode="json"))
        return
    rows = [(day.date, day.meter, day.jobs, f"{day.run_ms / 1000:.1f}", euros(day.cost_micros)) for day in found.days]
    print_table(["DAY", "METER", "JOBS", "SECONDS", "EUR"], rows)
    hint(f"together {euros(found.total_cost_micros)} EUR")


def euros(micros: int) -> str:
    """All digits of *micros*, as euros.

    >>> euros(1_234_567)
    '1.234567'
    """
    return f"{micros // MICROS}.{micros % MICROS:06d}"
