"""A job as a file, and one of its states run on this machine: `muster job export`, `muster job debug`."""

import asyncio
import bdb
import inspect
import pdb
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import CodeType
from typing import Annotated, Any, Final

import orjson
from cyclopts import Parameter

from muster.blueprint.definition import AnyBlueprint
from muster.blueprint.facts import Entered, JobFacts
from muster.blueprint.registry import Registry
from muster.cli.connection import HERE, Server, connect
from muster.cli.exits import CommandFailed, Exit
from muster.cli.job import JobName
from muster.cli.job_ids import resolve_job
from muster.cli.job_operations import read_json
from muster.cli.output import Format, print_json

FORMAT: Final = "muster-case/1"
DECIDED: Final = (
    "state_entered", "task_dispatched", "tasks_dispatched", "approval_requested", "child_started", "signal_awaited",
    "job_finished", "job_failed", "job_quarantined",
)  # fmt: skip


async def export(job: JobName, /, *, server: Server = HERE) -> None:
    """Print a job as a case file: what it was given, what its states were entered with, its history and log."""
    async with connect(server) as client:
        print_json(await client.case(await resolve_job(client, job)))


def debug(
    case: Annotated[Path, Parameter(help="A file that `muster job export` wrote.")],
    /,
    *,
    blueprints: Annotated[str, Parameter(help="The file, folder or module with the job's blueprint.")],
    state: Annotated[str | None, Parameter(help="Which state; the one entered last if not given.")] = None,
    argument: Annotated[str | None, Parameter(help="What it is entered with, as JSON; else as recorded.")] = None,
    data: Annotated[str | None, Parameter(help="The blueprint's own data, as JSON; else as recorded.")] = None,
    stop: Annotated[bool, Parameter(name="--breakpoint", negative="", help="Stop in the function, in pdb.")] = False,
    output: Format = "table",
) -> int:
    """Run one state of a job here, on its recorded argument, and print what it decides. Nothing is sent anywhere."""
    told = read_case(case)
    blueprint = _blueprint(blueprints, told["job"]["blueprint_name"])
    entry = _entry(told, blueprint, state)
    if argument is not None:
        entry["argument"] = read_json("--argument", argument)
    if data is not None:
        entry["data"] = read_json("--data", data)
    recorded = recorded_decision(told["history"], entry["state"])
    try:
        decided: dict[str, Any] = _shown(_run(blueprint, told["job"], entry, stop=stop))
    except CommandFailed:
        raise
    except Exception as error:  # noqa: BLE001 -- a state function may raise anything, and that is what is looked for
        decided = {"raises": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    if output == "json":
        print_json({"state": entry["state"], "argument": entry["argument"], "decided": decided, "recorded": recorded})
    else:
        print(f"state {entry['state']!r} with {_line(entry['argument'])}")
        print(decided.pop("traceback", ""), end="")
        print(f"here:     {_line(decided)}")
        print(f"recorded: {_line(recorded) if recorded else 'nothing: it did not decide, or history was off'}")
    return Exit.FAILED if "raises" in decided else Exit.DONE


def read_case(path: Path) -> dict[str, Any]:
    """Raises CommandFailed."""
    way_out = "muster job export JOB > case.json"
    try:
        told = orjson.loads(path.read_bytes())
    except OSError as wrong:
        raise CommandFailed(f"{path}: {wrong.strerror}", way_out=way_out, code=Exit.USAGE) from None
    except orjson.JSONDecodeError as wrong:
        raise CommandFailed(f"{path} is not JSON: {wrong}", way_out=way_out, code=Exit.USAGE) from None
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise CommandFailed(f"{path} is no case file of the format {FORMAT}", way_out=way_out, code=Exit.USAGE)
    return told


def recorded_decision(history: Sequence[Mapping[str, Any]], state: str) -> dict[str, Any] | None:
    """What the job decided when it entered *state* last: the first thing that came of it."""
    entered = [i for i, event in enumerate(history) if _enters(event) == state]
    if not entered:
        return None
    after = next((event for event in history[entered[-1] + 1 :] if event["event_type"] in DECIDED), None)
    return None if after is None else {"event": after["event_type"], "state": after["state"], **after["details"]}


def _enters(event: Mapping[str, Any]) -> str | None:
    return event["state"] if event["event_type"] == "state_entered" else None


def _blueprint(source: str, name: str) -> AnyBlueprint:
    registry = Registry()
    registry.load(source)
    found = registry.get(name)
    if found is None:
        known = ", ".join(registry.names()) or "none"
        raise CommandFailed(
            f"{source} has no blueprint {name!r}; it has {known}", way_out="--blueprints FILE", code=Exit.USAGE
        )
    return found


def _entry(told: Mapping[str, Any], blueprint: AnyBlueprint, state: str | None) -> dict[str, Any]:
    entered = {one["state"]: one for one in told["entered"]}
    chosen = state or next(
        (name for name in reversed(list(entered)) if name in blueprint.states), blueprint.graph.start
    )
    if chosen not in blueprint.states:
        known = ", ".join(blueprint.states)
        raise CommandFailed(f"there is no state {chosen!r}; there are {known}", way_out="--state", code=Exit.USAGE)
    known_entry = entered.get(chosen, {"argument": None, "data": told["data"]})
    return {"state": chosen, "argument": known_entry["argument"], "data": known_entry["data"]}


def _run(blueprint: AnyBlueprint, job: Mapping[str, Any], entry: Mapping[str, Any], *, stop: bool) -> Entered:
    facts = JobFacts(
        id=job["id"],
        tenant="case",
        blueprint=blueprint.name,
        input=job["initial_data"],
        data=entry["data"],
        results=job["state_history"],
    )

    def enter() -> Entered:
        return asyncio.run(blueprint.enter(entry["state"], facts, entry["argument"]))

    if not stop:
        return enter()
    return _stopped_in(blueprint.shape(entry["state"]).function.__code__, enter)


def _stopped_in(code: CodeType, call: Callable[[], Entered]) -> Entered:
    """*call*, with pdb at the first line of *code* and nowhere before."""
    debugger = pdb.Pdb(nosigint=True)
    debugger.reset()
    debugger.set_break(code.co_filename, code.co_firstlineno, funcname=code.co_name)
    debugger.botframe = inspect.currentframe()
    debugger.set_continue()  # to that line, instead of a stop at the first line of all, which is the engine's
    threading.settrace(debugger.trace_dispatch)  # a state function that is not async runs in a thread
    sys.settrace(debugger.trace_dispatch)
    try:
        return call()
    except bdb.BdbQuit:
        raise CommandFailed("the debugger was left", way_out="continue with c", code=Exit.FAILED) from None
    finally:
        sys.settrace(None)
        threading.settrace(None)


_UNSAID: tuple[object, ...] = (None, {}, (), "")


def _shown(entered: Entered) -> dict[str, Any]:
    said = {"decision": type(entered.decision).__name__.lower(), **asdict(entered.decision), "data": entered.data}
    return {name: _filled(value) for name, value in said.items() if value not in _UNSAID}


def _filled(value: object) -> object:
    """Without the members that the decision leaves open."""
    if isinstance(value, list | tuple):
        return [_filled(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    return {name: _filled(inner) for name, inner in value.items() if inner not in _UNSAID}


def _line(value: object) -> str:
    return orjson.dumps(value, default=str).decode()
