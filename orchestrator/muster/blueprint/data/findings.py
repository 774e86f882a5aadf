"""What is wrong with a blueprint that is data: all of it, each with its place as a JSON pointer (RFC 6901)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from muster.blueprint.problems import Problem

FINDINGS_MAX: Final = 100
"""More are not told at once."""


@dataclass(slots=True)
class Findings:
    """*lines* are those of the file, by pointer, where it came from one."""

    blueprint: str
    file: str = ""
    lines: Mapping[str, int] = field(default_factory=dict[str, int])
    problems: list[Problem] = field(default_factory=list[Problem])

    def add(self, pointer: str, message: str, hint: str = "", *, column: int = 0) -> None:
        if len(self.problems) < FINDINGS_MAX:
            self.problems.append(
                Problem(self.blueprint, self.file, self.line_of(pointer), message, hint, pointer, column)
            )

    def line_of(self, pointer: str) -> int:
        """Of the place, or of the nearest one around it that is known."""
        while pointer and pointer not in self.lines:
            pointer = pointer.rpartition("/")[0]
        return self.lines.get(pointer, 0)


def below(pointer: str, member: str | int) -> str:
    return f"{pointer}/{str(member).replace('~', '~0').replace('/', '~1')}"
