"""What one state may spend on its expressions. Counted, not timed, so that it ends the same way wherever it runs."""

from typing import Any, Final

STEPS_MAX: Final = 1_000_000
"""Of one state. A value looked at costs one, 64 characters of text one more: about 0.2 s of a core at the most."""
TEXT_PER_STEP: Final = 64


class BudgetSpent(Exception):
    """The expressions of a state cost too much."""


class Budget:
    __slots__ = ("_left",)

    def __init__(self, steps: int = STEPS_MAX) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        """Raises BudgetSpent."""
        self._left -= steps
        if self._left < 0:
            raise BudgetSpent

    def spend_on(self, value: Any) -> None:
        """As much as *value* would have members if it were written out: parts that are shared count each time."""
        waiting = [value]
        while waiting:
            one = waiting.pop()
            self.spend(1)
            if isinstance(one, str):
                self.spend(len(one) // TEXT_PER_STEP)
            elif isinstance(one, dict):
                self.spend(len(one))
                waiting += one.values()
            elif isinstance(one, list):
                self.spend(len(one))
                waiting += one
