"""Classes of work that ask more than a type, and orders to workers. A part of the contract, see `base`.

A class is defined before the first task of it is made, so its tasks need no other write than those without needs. All
replicas hear of a new one (`r|class`); what one missed it finds with its next look.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol


class Defined(StrEnum):
    NEW = "new"
    KNOWN = "known"
    FULL = "full"
    """There are as many as may be, and this is none of them."""


class FleetRecords(Protocol):
    async def define(self, cls: str, requirement: str, idle_ms: int, most: int) -> Defined:
        """Define a class, or say that it is used; unused for *idle_ms* it may be forgotten. All replicas are told."""
        ...

    async def requirement(self, cls: str) -> str | None: ...

    async def requirements(self) -> Mapping[str, str]:
        """By class."""
        ...

    async def idle(self) -> tuple[str, ...]:
        """Classes whose time is over, up to a hundred, those longest ago first."""
        ...

    async def retire(self, cls: str) -> bool:
        """Forget an idle class everywhere. False: it was used meanwhile, or has ready tasks, and stays."""
        ...

    async def instruct(self, worker: str, fields: Mapping[str, str]) -> dict[str, str] | None:
        """Change what was ordered of a registered worker; its fields after that, or None where it is not registered.

        What begins with `order` outlives its next registration.
        """
        ...
