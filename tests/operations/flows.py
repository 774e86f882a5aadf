"""Blueprints that the tests of operations on jobs hold, mend and start again."""

from dataclasses import dataclass
from typing import Any

from muster.blueprint import Blueprint, Decision, Job, finished
from muster.core.decisions import Decision as Next

asker = Blueprint("asker")
worker = Blueprint("worker")
above = Blueprint("above")


@asker.start
def begin(job: Job) -> Next:
    return job.ask("Go on?", yes=said, no=said)


@asker.state
def said(job: Job, answer: Decision) -> Next:
    return job.done({"decision": answer.decision})


@worker.start
def work(job: Job) -> Next:
    return job.run("work", job.input, ok=after, error=None)


@worker.state
def after(job: Job, result: Any) -> Next:
    return job.run("tidy", {}, ok=finished)


@above.start
def delegate(job: Job) -> Next:
    return job.child("asker", {}, ok=finished)


@dataclass
class Box:
    size: int


packer = Blueprint("packer")
"""Fails, or is put aside, for as long as its box is too small."""


@packer.start
def prepare(job: Job) -> Next:
    job.data["tries"] = job.data.get("tries", 0) + 1
    return job.go(pack, Box(int(job.input.get("size", 0))))


@packer.state
def pack(job: Job, box: Box) -> Next:
    job.data["packed"] = box.size
    if box.size < 0:
        raise ValueError(f"a box of {box.size}")
    if box.size < 10:
        return job.fail(f"box {box.size} is too small")
    return job.done({"size": box.size, **job.data})


FLOWS = (asker, worker, above, packer)
