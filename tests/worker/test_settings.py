from pathlib import Path

import pytest
from muster_worker import Worker
from muster_worker.settings import addresses, token_from, worker_settings


def test_arguments_win_over_the_environment() -> None:
    env = {"MUSTER_URL": "http://a", "MUSTER_WORKER_TOKEN": "t", "MUSTER_WORKER_ID": "w", "MUSTER_WORKER_SLOTS": "3"}
    from_env = worker_settings(env=env)
    assert (from_env.addresses, from_env.token, from_env.worker_id, from_env.slots) == (("http://a",), "t", "w", 3)
    given = worker_settings(url="http://b/", token="u", worker_id="v", slots=4, drain_timeout="1m", env=env)
    assert (given.addresses, given.token, given.worker_id, given.slots) == (("http://b",), "u", "v", 4)
    assert given.drain_timeout_s == 60


def test_the_price_of_a_second_comes_from_the_argument_the_worker_or_the_environment() -> None:
    env = {"MUSTER_WORKER_TOKEN": "t", "MUSTER_WORKER_PRICE_PER_SECOND": "0.25"}
    assert worker_settings(env={"MUSTER_WORKER_TOKEN": "t"}).price_per_second == 0
    assert worker_settings(env=env).price_per_second == 0.25
    assert worker_settings(price_per_second=0, env=env).price_per_second == 0
    assert Worker(cost_per_second=2).settings(token="t").price_per_second == 2
    assert Worker(cost_per_second=2).settings(token="t", price_per_second=3).price_per_second == 3


def test_several_addresses_are_separated_by_commas() -> None:
    assert addresses(None, {"MUSTER_URL": "http://a:1/, http://b:2"}) == ("http://a:1", "http://b:2")
    assert addresses(None, {}) == ("http://127.0.0.1:8080",)


def test_two_workers_on_one_machine_have_different_ids() -> None:
    one, other = worker_settings(token="t", env={}), worker_settings(token="t", env={})
    assert one.worker_id != other.worker_id


def test_a_token_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    assert token_from(None, "MUSTER_WORKER_TOKEN", {"MUSTER_WORKER_TOKEN_FILE": str(tmp_path / "token")}) == "secret"


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({}, "set MUSTER_WORKER_TOKEN"),
        ({"MUSTER_WORKER_TOKEN_FILE": "/nowhere"}, "MUSTER_WORKER_TOKEN_FILE names '/nowhere', which cannot be read"),
        ({"MUSTER_WORKER_TOKEN": "t", "MUSTER_WORKER_SLOTS": "many"}, "slots must be a whole number .* not 'many'"),
        ({"MUSTER_WORKER_TOKEN": "t", "MUSTER_WORKER_SLOTS": "0"}, "slots must be"),
        (
            {"MUSTER_WORKER_TOKEN": "t", "MUSTER_WORKER_PRICE_PER_SECOND": "free"},
            "price per second .* not 'free'",
        ),
        ({"MUSTER_WORKER_TOKEN": "t", "MUSTER_WORKER_PRICE_PER_SECOND": "-1"}, "price per second must be"),
        ({"MUSTER_WORKER_TOKEN": "t", "MUSTER_WORKER_PRICE_PER_SECOND": "nan"}, "price per second must be"),
        ({"MUSTER_WORKER_TOKEN": "t", "MUSTER_WORKER_ID": "a b"}, "'a b' is not a worker id"),
        ({"MUSTER_WORKER_TOKEN": "t", "MUSTER_URL": "localhost:8080"}, "'localhost:8080' is not the address"),
        ({"MUSTER_WORKER_TOKEN": "t", "MUSTER_URL": " , "}, "no orchestrator address"),
    ],
)
def test_a_setting_that_cannot_be_is_named(env: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        worker_settings(env=env)
