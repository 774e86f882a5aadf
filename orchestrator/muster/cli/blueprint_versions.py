"""The commands `muster blueprint …` about versions: what differs, who begins with which, and who is moved."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, Token

from muster.cli.connection import HERE, Server, connect
from muster.cli.exits import CommandFailed, Exit
from muster.cli.output import Format, hint, print_json, print_table

if TYPE_CHECKING:
    from muster.blueprint.comparing import Comparison, Side

Map = Annotated[
    tuple[str, ...], Parameter(name="--map", negative="", help="`old_state=new_state`; may be given several times.")
]
Place = Annotated[str, Parameter(help="A .py or .yaml file, with `:name` if it has several; or name@version.")]


async def diff(old: Place, new: Place, /, *, map: Map = (), output: Format = "table", server: Server = HERE) -> int:  # noqa: A002 -- the word people type
    """Hold two versions against each other. Exit code 1 where running jobs would be left behind."""
    from muster.blueprint.comparing import compare

    found = compare(await _side(old, server), await _side(new, server), _names(map))
    if output == "json":
        print_json(_as_json(found))
    else:
        print("\n".join(_lines(found)))
    return Exit.DONE if all(verdict.goes_on for verdict in found.verdicts) else Exit.FAILED


async def migrate(
    name: str,
    /,
    *,
    to: Annotated[str, Parameter(help="The version, or its number.")],
    source: Annotated[str | None, Parameter(name="--from", help="Only jobs of this version or number.")] = None,
    map: Map = (),  # noqa: A002 -- the word people type
    dry_run: Annotated[bool, Parameter(negative="", help="Move nothing.")] = False,
    output: Format = "table",
    server: Server = HERE,
) -> int:
    """Move running jobs to another version. Exit code 1 where some stay."""
    moved, stayed, examples, reached = Counter[str](), dict[str, Counter[str]](), dict[str, str](), to
    async with connect(server) as client:
        async for page in client.migrate(name, to, source=source, names=_names(map), dry_run=dry_run):
            reached = page["to"]
            for row in page["states"]:
                moved[row["state"]] += row["moved"]
                stayed.setdefault(row["state"], Counter()).update(row["stayed"])
            for job in page["stayed"]:
                examples.setdefault(job["code"], f"{job['code']}: {job['detail']} (such as {job['job_id']})")
    if output == "json":
        states = {state: {"moved": moved[state], "stayed": dict(stayed[state])} for state in sorted(stayed)}
        print_json({"to": reached, "dry_run": dry_run, "states": states, "reasons": examples})
    else:
        print_table(
            ["STATE", "WOULD MOVE" if dry_run else "MOVED", "STAY", "WHY"],
            [[state, moved[state], sum(why.values()), ", ".join(sorted(why))] for state, why in sorted(stayed.items())],
        )
        for line in examples.values():
            hint(line)
    return Exit.FAILED if any(why.total() for why in stayed.values()) else Exit.DONE


def _whole(_: type, tokens: Sequence[Token]) -> int:
    """What is between two numbers is not rounded to one of them."""
    return int(tokens[0].value)


async def rollout(
    name: str,
    version: Annotated[str, Parameter(help="The version, or its number.")],
    /,
    *,
    share: Annotated[int, Parameter(help="Percent of new jobs, a whole number.", converter=_whole)],
    server: Server = HERE,
) -> None:
    """Let a share of new jobs begin with a version, and the others with what they begin with now."""
    async with connect(server) as client:
        found = await client.roll_out(name, version, share)
    print(f"{name}  {found['share']} % begin with {found['version']}, the others with {found['base']}")


async def promote(name: str, /, *, server: Server = HERE) -> None:
    """Let all new jobs begin with the rollout's version."""
    async with connect(server) as client:
        print(f"{name}  new jobs begin with {await client.promote(name)}")


async def abort(name: str, /, *, server: Server = HERE) -> None:
    """Let no new job begin with the rollout's version."""
    async with connect(server) as client:
        print(f"{name}  new jobs begin with {await client.abort_rollout(name)}")


def _names(pairs: tuple[str, ...]) -> dict[str, str]:
    names = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not (old and equals and new):
            raise CommandFailed(
                f"--map {pair!r} is not old_state=new_state", way_out="--map check=examine", code=Exit.USAGE
            )
        names[old] = new
    return names


async def _side(place: str, server: Server) -> "Side":
    """A blueprint in a file, or a version that a server has."""
    from muster.blueprint.comparing import Side, decisions_of, members_of
    from muster.blueprint.graphs import graph_from_json

    of_file = _side_of_file(*place.partition(":")[::2])
    if of_file is not None:
        return of_file
    name, at, version = place.partition("@")
    if not at:
        raise CommandFailed(
            f"there is no file {place!r}", way_out=f"a file, or name@version such as {name}@2", code=Exit.USAGE
        )
    async with connect(server) as client:
        found = await client.blueprint(name, version)
        graph = graph_from_json(await client.graph(name, "json", version=version))
    spec, output = found["spec"], found.get("output_schema") or {}
    return Side(graph, found["input_schema"], decisions_of(spec), output, members_of(spec))


def _side_of_file(file: str, wanted: str) -> "Side | None":
    """None where there is no such file."""
    from muster.blueprint.comparing import side_of
    from muster.blueprint.loading import load_blueprints
    from muster.blueprint.problems import BlueprintError

    if not Path(file).is_file():
        return None
    loaded = load_blueprints(file)
    if loaded.problems:
        raise BlueprintError(loaded.problems)
    fitting = [blueprint for blueprint in loaded.blueprints if wanted in {"", blueprint.name}]
    if len(fitting) != 1:
        names = ", ".join(blueprint.name for blueprint in loaded.blueprints)
        raise CommandFailed(
            f"{file} has {names}: say which", way_out=f"{file}:{loaded.blueprints[0].name}", code=Exit.USAGE
        )
    return side_of(fitting[0])


def _lines(found: "Comparison") -> list[str]:
    if found.is_same:
        return [f"{found.old} and {found.new} say the same"]
    lines = [f"{found.old} -> {found.new}"]
    if found.start[0] != found.start[1]:
        lines.append(f"start   {found.start[0]} -> {found.start[1]}")
    for sign, states in (("+", found.added), ("-", found.removed), ("~", found.changed)):
        lines += [f"state   {sign} {state}" for state in states]
    for sign, edges in (("+", found.edges_added), ("-", found.edges_removed)):
        lines += [f"edge    {sign} {edge.source} --{edge.label}--> {edge.target}" for edge in edges]
    lines += [f"input   {line}" for line in found.input]
    lines += [f"output  {line}" for line in found.output]
    lines += [f"member  ~ {name}" for name in found.members]
    for verdict in found.verdicts:
        said = "go on" if verdict.goes_on else f"stay behind: {verdict.reason}"
        lines.append(f"jobs in {verdict.state}  {said}")
    return lines


def _as_json(found: "Comparison") -> Mapping[str, Any]:
    def edges(some: tuple[Any, ...]) -> list[dict[str, str]]:
        return [{"from": edge.source, "label": edge.label, "to": edge.target} for edge in some]

    return {
        "old": found.old,
        "new": found.new,
        "same": found.is_same,
        "start": list(found.start),
        "states": {"added": found.added, "removed": found.removed, "changed": found.changed},
        "edges": {"added": edges(found.edges_added), "removed": edges(found.edges_removed)},
        "input": found.input,
        "output": found.output,
        "members": found.members,
        "jobs": [{"state": one.state, "go_on": one.goes_on, "reason": one.reason} for one in found.verdicts],
    }
