"""The commands `muster blueprint …`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import App, Parameter

from muster.cli.connection import HERE, Server, connect
from muster.cli.exits import Exit
from muster.cli.output import Format, hint, print_json, print_table

if TYPE_CHECKING:
    from muster.blueprint.problems import Problem

app = App(name="blueprint", help="List, check and draw blueprints.", help_format="plaintext")

FOLDER: Final = "blueprints"


@app.command
async def ls(*, output: Format = "table", server: Server = HERE) -> None:
    """List the blueprints that the server serves."""
    async with connect(server) as client:
        found = await client.blueprints()
    if output == "json":
        print_json({"items": found})
        return
    rows = [[item["name"], item["version"], f"/api/v1/{item['endpoint']}", item["states"]] for item in found]
    print_table(["NAME", "VERSION", "ENDPOINT", "STATES"], rows)


@app.command
async def graph(
    name: str,
    /,
    *,
    output: Annotated[
        Literal["dot", "mermaid", "json"], Parameter(name=["--output", "-o"], help="How to write it.")
    ] = "dot",
    server: Server = HERE,
) -> None:
    """Draw a blueprint: `muster blueprint graph orders | dot -Tsvg > orders.svg`."""
    async with connect(server) as client:
        text = await client.graph(name, output)
    print(text.rstrip("\n"))


@app.command
def check(
    places: Annotated[
        tuple[str, ...], Parameter(help="Files, folders or modules; the folder `blueprints` by default.")
    ] = (),
    /,
    *,
    output: Format = "table",
) -> int:
    """Load blueprints and tell every problem at once, with file and line. Needs no server."""
    from muster.blueprint.problems import problems_text

    names, problems = _load(places or (FOLDER,))
    if output == "json":
        print_json({"blueprints": names, "problems": problems})
    elif problems:
        print(problems_text(problems))
        hint("try: mend these lines, then muster blueprint check again")
    else:
        print(f"{len(names)} without a problem: {', '.join(names)}")
    return Exit.FAILED if problems else Exit.DONE


def _load(places: Sequence[str]) -> "tuple[list[str], list[Problem]]":
    """The names of all blueprints there, and everything that is wrong with them."""
    from muster.blueprint.builtin import BUILTIN
    from muster.blueprint.problems import BlueprintError
    from muster.blueprint.registry import Registry

    registry = Registry()
    for blueprint in BUILTIN:  # their names and routes are taken
        registry.add(blueprint)
    problems: list[Problem] = []
    for place in places:
        try:
            registry.load(place)
        except BlueprintError as error:
            problems += error.problems
    builtin = {blueprint.name for blueprint in BUILTIN}
    return [name for name in registry.names() if name not in builtin], problems
