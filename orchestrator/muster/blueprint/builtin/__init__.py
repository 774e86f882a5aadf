"""Blueprints that every server has, whatever else it loads."""

from typing import Final

from muster.blueprint.builtin.command import command
from muster.blueprint.builtin.sequence import sequence
from muster.blueprint.definition import AnyBlueprint

BUILTIN: Final[tuple[AnyBlueprint, ...]] = (command, sequence)
