"""Sums of money: whole micros, 1,000,000 to the euro."""

from typing import Final

MICROS: Final = 1_000_000
_MICROS_PER_CENT: Final = 10_000


def display(micros: int) -> str:
    """Euros and cents, halves rounded up.

    >>> display(12_000), display(6_000_000), display(4_999)
    ('€0.01', '€6.00', '€0.00')
    """
    cents = (micros + _MICROS_PER_CENT // 2) // _MICROS_PER_CENT
    return f"€{cents // 100}.{cents % 100:02d}"
