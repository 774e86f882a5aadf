"""Blueprints: how they are written, read, checked, loaded, drawn and run, one state at a time."""

from muster_worker.contracts import task

from muster.blueprint.answers import Decision, TaskError
from muster.blueprint.check import problems_of
from muster.blueprint.definition import AnyBlueprint, Blueprint
from muster.blueprint.draw import dot, mermaid
from muster.blueprint.facts import Entered, JobFacts
from muster.blueprint.graphs import graph_from_json, graph_hash, graph_json
from muster.blueprint.job import Job
from muster.blueprint.problems import BlueprintError, InputInvalid, Problem, problems_text
from muster.blueprint.registry import Registry
from muster.blueprint.state import State, failed, finished
from muster.blueprint.testing import job_for
from muster.core.decisions import Decision as Next
from muster.core.join import Join

__all__ = [
    "AnyBlueprint",
    "Blueprint",
    "BlueprintError",
    "Decision",
    "Entered",
    "InputInvalid",
    "Job",
    "JobFacts",
    "Join",
    "Next",
    "Problem",
    "Registry",
    "State",
    "TaskError",
    "dot",
    "failed",
    "finished",
    "graph_from_json",
    "graph_hash",
    "graph_json",
    "job_for",
    "mermaid",
    "problems_of",
    "problems_text",
    "task",
]
