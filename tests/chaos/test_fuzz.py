"""Strangers' requests, a few; `make fuzz` sends many."""

from collections.abc import Iterator

import pytest

from tests.chaos.fuzz import Target, development_server, fuzz_bodies, fuzz_lines, fuzz_requests

SEED = 20
FEW = 100


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with development_server(tmp_path_factory.mktemp("fuzzed")) as running:
        yield running


def test_every_request_is_answered_as_documented(target: Target) -> None:
    fuzz_requests(target, 2 * FEW, SEED)
    target.check_is_well()


def test_bodies_of_workers_that_are_no_json_are_refused_in_words(target: Target) -> None:
    fuzz_bodies(target, FEW, SEED)
    target.check_is_well()


def test_what_is_no_http_does_not_disturb_the_server_or_fill_its_log(target: Target) -> None:
    fuzz_lines(target, FEW, SEED)
    target.check_is_well()
