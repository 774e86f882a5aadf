"""Limits as users write them, what each partition makes of them, and which keys there may be."""

from typing import Any

import pytest
from muster.core.flow import Limit, LimitRefused, Policy, Scope, checked_key, group_of, limit_of, policy_of
from muster.core.limits import BURST_MAX, LIMIT_NAME_CHARACTERS_MAX, LIMIT_TASKS_MAX, RATE_PERIOD_MAX_MS, WEIGHT_MAX

LONG = "x" * (LIMIT_NAME_CHARACTERS_MAX + 1)


# What a limit may be


@pytest.mark.parametrize(
    ("scope", "name", "values", "expected"),
    [
        ("global", "*", {"max": 0}, Limit(Scope.GLOBAL, "*", max=0)),
        ("global", "", {"max": 1}, Limit(Scope.GLOBAL, "*", max=1)),
        ("task", "a b/ü", {"max": LIMIT_TASKS_MAX}, Limit(Scope.TASK, "a b/ü", max=LIMIT_TASKS_MAX)),
        ("blueprint", "b", {"rate": 1, "per": "1s"}, Limit(Scope.BLUEPRINT, "b", rate=1, per_ms=1000)),
        ("blueprint", "b", {"rate": 9, "per": 0.5}, Limit(Scope.BLUEPRINT, "b", rate=9, per_ms=500)),
        ("key", "site:*", {"max": 1}, Limit(Scope.KEY, "site:*", "acme", max=1)),
        ("key", "*", {"max": 1}, Limit(Scope.KEY, "*", "acme", max=1)),
        ("tenant", "acme", {"weight": 2}, Limit(Scope.TENANT, "acme", weight=2.0)),
        ("tenant", "acme", {"weight": WEIGHT_MAX}, Limit(Scope.TENANT, "acme", weight=WEIGHT_MAX)),
        (
            "task",
            "t",
            {"max": None, "rate": LIMIT_TASKS_MAX, "per": RATE_PERIOD_MAX_MS / 1000, "burst": BURST_MAX},
            Limit(Scope.TASK, "t", rate=LIMIT_TASKS_MAX, per_ms=RATE_PERIOD_MAX_MS, burst=BURST_MAX),
        ),
    ],
)
def test_a_limit_is_what_was_written(scope: str, name: str, values: dict[str, Any], expected: Limit) -> None:
    assert limit_of(scope, name, values, "acme") == expected


@pytest.mark.parametrize(
    ("scope", "name", "values", "why"),
    [
        ("taks", "t", {"max": 1}, "there is no scope 'taks'; there are global, tenant, task, blueprint, key"),
        ("", "t", {"max": 1}, "there is no scope ''"),
        ("global", "all", {"max": 1}, r"the global limit is called '\*', not 'all'"),
        ("task", "", {"max": 1}, "a name has 1 to .* printable characters, not 0"),
        ("task", LONG, {"max": 1}, f"printable characters, not {len(LONG)}"),
        ("task", "a\nb", {"max": 1}, "printable characters"),
        ("key", "si*te", {"max": 1}, "stands for a whole group of keys"),
        ("key", "site:x*", {"max": 1}, "stands for a whole group of keys"),
        ("task", "t", {}, "a limit limits something"),
        ("task", "t", {"max": None}, "a limit limits something"),
        ("task", "t", {"max": -1}, f"max is a whole number from 0 to {LIMIT_TASKS_MAX}, not -1"),
        ("task", "t", {"max": LIMIT_TASKS_MAX + 1}, "max is a whole number"),
        ("task", "t", {"max": 10**400}, "max is a whole number"),
        ("task", "t", {"max": 1.0}, "max is a whole number"),
        ("task", "t", {"max": True}, "max is a whole number from 0 to .*, not True"),
        ("task", "t", {"max": "1"}, "max is a whole number from 0 to .*, not '1'"),
        ("task", "t", {"max": float("nan")}, "max is a whole number"),
        ("task", "t", {"max": [1]}, "max is a whole number"),
        ("task", "t", {"rate": 0, "per": "1s"}, "rate is a whole number from 1 to"),
        ("task", "t", {"rate": -5, "per": "1s"}, "rate is a whole number from 1 to"),
        ("task", "t", {"rate": 1}, "a rate needs a period and a period a rate"),
        ("task", "t", {"per": "1s"}, "a rate needs a period and a period a rate"),
        ("task", "t", {"rate": 1, "per": "soon"}, "per is a duration such as"),
        ("task", "t", {"rate": 1, "per": 0}, "per is"),
        ("task", "t", {"rate": 1, "per": "-1s"}, "per is"),
        ("task", "t", {"rate": 1, "per": "32d"}, "per is from 1 ms to 31 days"),
        ("task", "t", {"rate": 1, "per": [1]}, "per is a duration such as"),
        ("task", "t", {"rate": 1, "per": "1s", "burst": 0}, "burst is a whole number from 1 to"),
        ("task", "t", {"rate": 1, "per": "1s", "burst": BURST_MAX + 1}, "burst is a whole number"),
        ("task", "t", {"max": 1, "burst": 2}, "burst goes with rate"),
        ("task", "t", {"weight": 2}, "only a tenant has a weight, not a task"),
        ("tenant", "t", {"weight": 0}, "weight is a number from"),
        ("tenant", "t", {"weight": -1}, "weight is a number from"),
        ("tenant", "t", {"weight": WEIGHT_MAX * 2}, "weight is a number from"),
        ("tenant", "t", {"weight": float("nan")}, "weight is a number from"),
        ("tenant", "t", {"weight": float("inf")}, "weight is a number from"),
        ("tenant", "t", {"weight": "2"}, "weight is a number from"),
        ("task", "t", {"max": 1, "maximum": 1}, "a limit has no 'maximum'; it has max, rate, per, burst and weight"),
    ],
)
def test_what_cannot_be_says_what_is_wrong_with_it(scope: str, name: str, values: dict[str, Any], why: str) -> None:
    with pytest.raises(LimitRefused, match=why) as refused:
        limit_of(scope, name, values, "acme")
    assert len(str(refused.value)) < 400, "whatever was sent"


# What a partition makes of it


@pytest.mark.parametrize("partitions", [1, 3, 64])
def test_no_partition_gets_nothing_and_all_together_not_a_partition_more(partitions: int) -> None:
    for most in (1, 2, 63, 64, 65, 1000):
        share = policy_of(Limit(Scope.GLOBAL, max=most), partitions).most
        assert share is not None
        assert share >= 1
        assert most <= share * partitions < most + partitions
    assert policy_of(Limit(Scope.GLOBAL, max=0), partitions).most == 0


def test_a_pause_lets_nothing_pass_whatever_else_is_set() -> None:
    assert policy_of(Limit(Scope.TASK, "t", paused=True), 4) == Policy(most=0)
    paused = policy_of(Limit(Scope.TASK, "t", max=9, rate=1, per_ms=1000, paused=True), 1)
    assert (paused.most, paused.between_us) == (0, 1_000_000)


def test_a_rate_is_time_between_starts_and_a_burst_how_far_they_may_be_ahead() -> None:
    assert policy_of(Limit(Scope.TASK, "t", rate=3, per_ms=1000), 1) == Policy(between_us=333_334, ahead_us=0)
    four = policy_of(Limit(Scope.TASK, "t", rate=1, per_ms=1000, burst=4), 1)
    assert four == Policy(between_us=1_000_000, ahead_us=3_000_000)
    spread = policy_of(Limit(Scope.TASK, "t", rate=1, per_ms=1000, burst=4), 4)
    assert spread == Policy(between_us=4_000_000, ahead_us=0)


def test_a_tenant_of_more_weight_pays_less_and_never_nothing() -> None:
    costs = [policy_of(Limit(Scope.TENANT, "t", weight=weight), 1).cost for weight in (0.5, 1, 2, WEIGHT_MAX)]
    assert costs == [512, 256, 128, 4]


# Keys


def test_a_key_belongs_to_the_group_before_its_first_colon() -> None:
    assert [group_of(key) for key in ("a:b:c", ":x", "a", "a:")] == ["a:*", ":*", "*", "a:*"]


def test_keys_are_printable_and_stand_for_themselves() -> None:
    for key in ("", "a", "site:example.org", "ü" * LIMIT_NAME_CHARACTERS_MAX):
        assert checked_key(key) == key
    for key in (LONG, "a*", "a\n", "\0"):
        with pytest.raises(ValueError, match="a concurrency key is 1 to"):
            checked_key(key)
