"""The commands `muster blueprint …`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import App, Parameter

from muster.cli.connection import HERE, Server, connect
from muster.cli.exits import Exit
from muster.cli.output import Format, hint, print_json, print_table

if TYPE_CHECKING:
    from muster.blueprint.problems import Problem

app = App(name="blueprint", help="List, check, draw, save and roll out blueprints.", help_format="plaintext")

for _name, _help in {
    "diff": "Hold two versions against each other: files, or name@version of a server.",
    "migrate": "Move running jobs to another version, or say what would become of them.",
    "rollout": "Let a share of new jobs begin with a version.",
    "promote": "Let all new jobs begin with the rollout's version.",
    "abort": "Let no new job begin with the rollout's version.",
}.items():
    app.command(f"muster.cli.blueprint_versions:{_name}", name=_name, help=_help)

for _name, _help in {
    "pause": "Hand out no more tasks of a blueprint's jobs; those that run go on.",
    "resume": "Hand out tasks of a blueprint's jobs again.",
}.items():
    app.command(f"muster.cli.limit:{_name}_blueprint", name=_name, help=_help)

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
async def show(
    name: str,
    /,
    *,
    version: Annotated[str | None, Parameter(help="Of this version, or number.")] = None,
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """Show a blueprint: its versions, a rollout under way, and where it is data all of it, as YAML."""
    async with connect(server) as client:
        found = await client.blueprint(name, version)
    if output == "json":
        print_json(found)
        return
    for line in _described(found):
        hint(line)
    if found["spec"] is not None:
        import yaml

        print(yaml.safe_dump(found["spec"], sort_keys=False, allow_unicode=True).rstrip("\n"))


@app.command
async def apply(
    file: Annotated[Path, Parameter(help="A .yaml or .json file.")],
    /,
    *,
    name: Annotated[str | None, Parameter(help="Where the file does not say.")] = None,
    share: Annotated[int | None, Parameter(help="Percent of new jobs that begin with it; else all.")] = None,
    if_match: Annotated[str | None, Parameter(help="Only if that is the version that new jobs begin with.")] = None,
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """Save a blueprint that is data: on all servers at once, without a restart. The same again changes nothing."""
    from muster.blueprint.data.definition import from_dict
    from muster.blueprint.data.files import read_file

    document = read_file(file)
    draft = from_dict(document.value, name=name or "", file=str(file), lines=document.lines)
    async with connect(server) as client:
        saved = await client.put_blueprint(draft.name, draft.to_dict(), share=share, if_match=if_match)
    if output == "json":
        print_json(saved)
        return
    print(f"{saved['name']}  {saved['version']}  {'saved' if saved['is_new'] else 'as it was'}")
    hint(f"try: muster job start {saved['name']} --watch")


@app.command
async def rm(name: str, /, *, server: Server = HERE) -> None:
    """Take a blueprint that is data out of service: no new jobs; those that run go on."""
    async with connect(server) as client:
        await client.delete_blueprint(name)
    print(f"{name}  out of service")


def _described(found: Mapping[str, Any]) -> list[str]:
    versions = ", ".join(item["version"] for item in found["versions"]) or "none"
    state = found["version"] if found["in_service"] else "out of service"
    lines = [f"{found['name']}  {state}  ({found['source']}; versions: {versions})"]
    if rollout := found["rollout"]:
        lines.append(f"rollout: {rollout['share']} % begin with {rollout['version']}, the others {rollout['base']}")
    return lines


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


@app.command
def schema() -> None:
    """Print the JSON Schema of blueprints that are data, for editors. Needs no server."""
    from muster.blueprint.data.document import document_schema

    print_json(document_schema())


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
