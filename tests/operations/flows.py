"""Blueprints that the tests of operations on jobs hold, mend and start again."""

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


FLOWS = (asker, worker, above)
