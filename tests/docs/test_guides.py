"""The guides of the engine's features, followed by somebody at a shell: one server, every command as it is written."""

import re
import shlex
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from muster.blueprint.registry import Registry
from muster.cli.app import run

from tests.docs.blocks import ROOT, Reader, blocks

GUIDES = "docs/guides"
CODE = {"quotes.py": "control-flow", "plans.py": "schedules", "films.py": "fleet"}
JOB = re.compile(r"\bJOB\b")
WORKER = """
from returns_worker import worker
from muster_worker import Ctx

@worker.task("hello.say")
async def say(_ctx: Ctx, params: dict) -> str:
    return params["text"]

@worker.task("parcels.label")
async def label(_ctx: Ctx, parcel: dict) -> dict:
    return {"tracking": parcel["id"]}

@worker.task("parcels.drive")
async def drive(_ctx: Ctx, stop: dict) -> dict:
    return {"signed_by": stop["city"]}

@worker.task("quotes.ask")
async def ask(_ctx: Ctx, shop: dict) -> dict:
    return {"shop": shop["name"], "cents": len(shop["name"])}

@worker.task("shop.look")
async def look(_ctx: Ctx, shop: dict) -> bool:
    return True

@worker.task("pay.charge")
async def charge(_ctx: Ctx, payment: dict) -> dict:
    return {"ref": "r1"}

@worker.task("pay.refund")
async def refund(_ctx: Ctx, receipt: dict) -> None:
    return None
"""


def guide(name: str, language: str) -> list[str]:
    return blocks(f"{GUIDES}/{name}.md", language)


def written(folder: Path) -> Path:
    """The blueprints that the guides show, as files."""
    folder.mkdir()
    for file, page in CODE.items():
        text = "\n\n".join(guide(page, "python")[: 1 if page != "control-flow" else None])
        (folder / file).write_text(text)
    return folder


@pytest.fixture
def site(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """A server with the guides' blueprints and a worker for them."""
    folder = written(reader.machine.folder / "bp")
    for example in ("returns", "parcels", "parcels_next", "parcels_contracts"):
        (folder / f"{example}.py").write_text((ROOT / f"blueprints/{example}.py").read_text())
    reader.write(
        {
            "returns_worker.py": (ROOT / "blueprints/returns_worker.py").read_text(),
            "all_worker.py": WORKER,
            "hello.yaml": guide("blueprints-as-data", "yaml")[0],
            "connections.toml": guide("schedules", "toml")[0],
        }
    )
    reader.variables["MUSTER_CONNECTIONS_FILE"] = "connections.toml"
    reader.leave_running("muster dev --blueprints bp --worker all_worker")
    monkeypatch.chdir(reader.machine.folder)
    for name, value in reader.environment.items():
        monkeypatch.setenv(name, value)
    return reader


def typed(reader: Reader, script: str, says: str = "") -> str:
    """Each line of *script* as it is written; those that need no shell in this process, which is ten times as cheap."""
    said = StringIO()
    for line in script.splitlines():
        if re.match(r"\s*muster [^|<>]*$", line):
            with redirect_stdout(said), redirect_stderr(said):
                code = run(shlex.split(line, comments=True)[1:])
        else:
            done = reader.run(f"set +o pipefail\n{line}")
            said.write(done.stdout + done.stderr)
            code = done.returncode
        assert code == 0, f"{line}\n{said.getvalue()}"
    assert says in said.getvalue(), f"{script}\n{said.getvalue()}"
    return said.getvalue()


def started(reader: Reader, line: str) -> str:
    """The id of the job that *line* starts; it is over by then where the line watches it, whatever its end."""
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(StringIO()):
        run(shlex.split(line)[1:])
    found = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", said.getvalue())
    assert found, said.getvalue()
    return found[0]


def test_what_the_guides_show_does_what_they_say(site: Reader) -> None:
    jobs = """
        muster job start quotes -i '{"shops": ["corner", "mall"]}' --watch
        muster job start purchase --watch
        muster job start poll --watch
    """
    said = typed(site, jobs.strip())
    for expected in ('"shop": "mall"', '"cents": 6', '"tries": 1'):
        assert expected in said
    assert "undo_started" in typed(site, f"muster job show {started(site, 'muster job start sale --watch')}")
    operations(site)
    typed(site, "\n".join(guide("schedules", "sh")), "the warehouse moves")
    typed(site, "\n".join(guide("batches", "sh")), "cancelling")
    flow = "\n".join(guide("flow-control", "sh"))
    assert "1 per 1s" in typed(site, flow)
    data = "\n".join(guide("blueprints-as-data", "sh"))
    assert "1 without a problem: hello" in typed(site, data)
    admission = re.findall(r"`(muster job start [^`]+)`", (ROOT / GUIDES / "admission.md").read_text())
    assert len(admission) == 2
    typed(site, "\n".join(re.sub(r"start \w+", "start sweep", command) for command in admission))
    changes(site)
    parcels(site)
    orders(site)


def changes(site: Reader) -> None:
    """A second version of the blueprint that is data, for some jobs and then for none: promoted, it has no rollout."""
    share, differs, *_ = guide("changing-blueprints", "sh")
    typed(site, "sed 's/Ask somebody/Ask one/' hello.yaml >changed.yaml")
    first, more, promote, _ = share.replace("orders.yaml", "changed.yaml").replace("orders", "hello").splitlines()
    typed(site, f"{first}\n{more.replace('hello 4', 'hello 2')}", "50 % begin with 2:")
    typed(site, promote, "new jobs begin with 2:")
    typed(site, differs.splitlines()[0].replace("orders@3", "hello@1").replace("orders.yaml", "changed.yaml"))


def parcels(site: Reader) -> None:
    """The walk through the example in two versions: one of two jobs can be moved, so each `migrate` ends with 1."""
    *_, walk = guide("changing-blueprints", "sh")
    lines = walk.splitlines()
    said = "".join(typed_with_code(line) if " migrate " in line else typed(site, line) for line in lines)
    for expected in (
        "0 % begin with 2:",
        "input_misfit",
        "signal collected",
        "10 % begin with 2:",
        "new jobs begin with 2:",
    ):
        assert expected in said
    assert "finished" in typed(site, "muster job watch @last")


def typed_with_code(line: str, code: int = 1) -> str:
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        found = run(shlex.split(line, comments=True)[1:])
    assert found == code, f"{line}\n{said.getvalue()}"
    return said.getvalue()


def orders(site: Reader) -> None:
    """The last of them ends the worker."""
    worker = typed(site, "muster worker ls").splitlines()[1].split()[0]
    assert "disconnect" in typed(site, guide("fleet", "sh")[0].replace("render-7", worker))


def operations(site: Reader) -> None:
    """The page's commands, on a job that waits and on one that was put aside."""
    blocks_of_page = guide("operations", "sh")
    pause, retry, quarantine, find, bulk, case = blocks_of_page
    typed(site, "muster blueprint apply hello.yaml")
    assert "paused" in typed(site, JOB.sub(started(site, "muster job start hello"), pause))
    aside = """muster job start returns -i '{"order": "A2", "grams": 5}' --watch"""
    job = started(site, aside)
    exported, *_, stop = JOB.sub(job, case).splitlines()
    stop = on_returns(stop)
    # What is said to the debugger comes on its standard input.
    stopped = typed(site, f"{exported}\nprintf 'p weighed\\nc\\n' | {stop}")
    assert "Weighed(grams=12)" in stopped
    assert '"type":"returns.refund"' in stopped
    kind = typed(site, "muster job errors | grep returns").split()[0]
    for script in (find, bulk):
        typed(site, script.replace("5c1f0a9b2d3e", kind).replace("orders", "returns"))
    job = started(site, aside)
    first, second, third = on_returns(JOB.sub(job, retry)).splitlines()
    typed(site, first)
    typed(site, f"muster job watch {job} || true\n{third}\n{second}")
    typed(site, on_returns(JOB.sub(started(site, aside), quarantine)))


def on_returns(script: str) -> str:
    """The page's example, on the blueprint that the page names at its top."""
    for shown, here in (("orders.py", "bp/returns.py"), ("--state pack", "--state check"), ('"size"', '"grams"')):
        script = script.replace(shown, here)
    return script


def test_the_blueprints_of_the_guides_have_no_problem(tmp_path: Path) -> None:
    registry = Registry()
    registry.load(str(written(tmp_path / "bp")))
    assert {"quotes", "purchase", "poll", "sale", "report", "sweep", "films"} <= set(registry.names())


def test_the_worker_of_the_page_about_the_fleet_can_be_made() -> None:
    made: dict[str, object] = {"__name__": "page"}
    exec(guide("fleet", "python")[1], made)
    assert "worker" in made
