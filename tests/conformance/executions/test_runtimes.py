"""Names of runtimes and sums of money as values."""

import pytest
from muster.errors import ErrorCode, MusterError
from muster.surfaces.executions.money import display
from muster.surfaces.executions.runtimes import resolved


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (None, "ruby:3.2"),
        ("ruby:3.2", "ruby:3.2"),
        ("ruby", "ruby:3.2"),
        ("ruby3", "ruby:3.2"),
        ("ruby3.2", "ruby:3.2"),
        ("python", "python:3.13"),
        ("python3", "python:3.13"),
        ("python3.13", "python:3.13"),
        ("python3.11", "python:3.11"),
        ("python3.12", "python:3.13"),
        ("special", "special"),
    ],
)
def test_a_name_means_a_configured_runtime_the_exact_version_first(name: str | None, found: str) -> None:
    assert resolved(name, ("ruby:3.2", "python:3.13", "python:3.11", "special")) == found


@pytest.mark.parametrize("name", ["python:2.7", "python2.7", "python2", "python3.99", "node", "", "PYTHON", "ruby:"])
def test_other_names_mean_nothing_and_the_refusal_says_what_there_is(name: str) -> None:
    with pytest.raises(MusterError) as refused:
        resolved(name, ("python:3.11", "ruby:3.2"))
    assert refused.value.code is ErrorCode.INVALID_PARAMETER
    assert "python:3.11, ruby:3.2" in refused.value.hint


@pytest.mark.parametrize(
    ("micros", "shown"),
    [
        (0, "€0.00"),
        (4_999, "€0.00"),
        (5_000, "€0.01"),
        (12_000, "€0.01"),
        (999_999, "€1.00"),
        (10**15, "€1000000000.00"),
    ],
)
def test_sums_are_shown_in_euros_and_cents(micros: int, shown: str) -> None:
    assert display(micros) == shown
