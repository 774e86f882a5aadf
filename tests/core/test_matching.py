"""What a task needs, and whether a worker has it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster.core.matching import Offer, Requirement, Unmet, meets, requirement_json, requirement_of, unmet, version_key
from muster.engine.offers import check_offer, offer_of
from muster_worker.needs import (
    LABELS_MAX,
    RULES_MAX,
    Choose,
    InvalidNeeds,
    Needs,
    Prefer,
    checked_labels,
    labels_from_text,
    parse_size,
    size_class,
)

GB = 1024**3


def offer(labels: Any = None, resources: Any = None, cost: float = 0.0, **facts: Any) -> Offer:
    return offer_of("w1", ["render"], cost, {"labels": labels or {}, **facts}, resources or {})


def fits(needs: Needs, has: Offer) -> bool:
    return meets(Requirement("render", needs.rules()), has)


GPU_WORKER = offer(
    {"gpu": "a100", "region": "eu", "tier": 3, "hot": ["llama-3", "whisper"]},
    {"memory": "8GB", "cpu_cores": 4, "gpu_info": {"model": "NVIDIA A100-40GB", "vram_gb": 40}},
    installed_software={"ffmpeg": "6.1.1"},
    installed_models=[{"name": "llama-3", "version": "2"}, "whisper"],
)


@pytest.mark.parametrize(
    "needs",
    [
        Needs(),
        Needs(labels={"gpu": "a100"}),
        Needs(labels={"region": ["us", "eu"]}),
        Needs(labels={"tier": ">=3", "gpu": "!t4", "region": True, "spot": False}),
        Needs(labels={"hot": "whisper"}),
        Needs(memory="8GB", cpu=4, gpu=1, vram="40GB", gpu_model="a100"),
        Needs(models=["llama-3"], software={"ffmpeg": ">=6"}),
        Needs(models={"llama-3": ">=2"}, software={"ffmpeg": "6.1.1"}),
        Needs(worker="w1"),
    ],
)
def test_a_worker_that_has_all_that_is_needed_may_have_the_task(needs: Needs) -> None:
    assert fits(needs, GPU_WORKER)


@pytest.mark.parametrize(
    ("needs", "lack"),
    [
        (Needs(labels={"gpu": "h100"}), "label gpu is 'a100', not 'h100'"),
        (Needs(labels={"zone": "a"}), "label zone is not there"),
        (Needs(labels={"region": "!eu"}), "label region is 'eu', which must not be"),
        (Needs(labels={"region": False}), "label region is there, and must not be"),
        (Needs(labels={"zone": "!a"}), "label zone is not there"),
        (Needs(labels={"tier": ">=10"}), "label tier is '3', not at least '10'"),
        (Needs(memory="16GB"), f"memory is '8 GB', not at least '{16 * GB}'"),
        (Needs(cpu=5), "cpu is '4', not at least '5'"),
        (Needs(gpu_model="h100"), "its GPU is 'NVIDIA A100-40GB', not like 'h100'"),
        (Needs(models=["mistral"]), "model mistral is not there"),
        (Needs(models={"whisper": ">=1"}), "model whisper is '', not at least '1'"),
        (Needs(software={"ffmpeg": ">=7"}), "software ffmpeg is '6.1.1', not at least '7'"),
        (Needs(worker="w2"), "its id is 'w1', not 'w2'"),
    ],
)
def test_what_a_worker_lacks_is_told(needs: Needs, lack: str) -> None:
    requirement = Requirement("render", needs.rules())
    assert not meets(requirement, GPU_WORKER)
    assert [rule.text for rule in unmet(requirement, GPU_WORKER)] == [lack]


def test_a_worker_that_costs_more_than_the_task_may_does_not_get_it() -> None:
    rule = ("cost", "le", ("0.5",))
    assert meets(Requirement("render", (rule,)), offer(cost=0.5))
    assert not meets(Requirement("render", (rule,)), offer(cost=0.51))


def test_a_price_of_the_task_type_stands_for_the_workers() -> None:
    rule = ("cost", "le", ("0.5",))
    dear = offer(cost=0.1, cost_per_task={"render": 0.6, "other": 0.2})
    assert [one.text for one in unmet(Requirement("render", (rule,)), dear)] == [
        "its price per second is '0.6', more than '0.5'"
    ]
    assert meets(Requirement("render", (rule,)), offer(cost=9.0, capabilities={"cost_per_skill": {"render": 0.5}}))
    assert (dear.prices, dear.price_of("render"), dear.price_of("more")) == ({"render": 0.6}, 0.6, 0.1)
    wrong: Any
    for wrong in ("0.5", True, -1, float("nan"), None, {}):
        assert offer(cost=0.1, cost_per_task={"render": wrong}).price_of("render") == 0.1
    assert Unmet(rule, "0.51").text == "its price per second is '0.51', more than '0.5'"


def test_a_comparator_of_a_newer_server_is_not_guessed() -> None:
    assert not meets(Requirement("render", (("label:gpu", "near", ("a100",)),)), GPU_WORKER)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Needs(memory="8QB"),
        lambda: Needs(memory=-1),
        lambda: Needs(cpu=-1),
        lambda: Needs(gpu=float("nan")),  # type: ignore[arg-type]
        lambda: Needs(labels={"a": "<3"}),
        lambda: Needs(labels={"a": ">=x"}),
        lambda: Needs(labels={"a": ["=b"]}),
        lambda: Needs(labels={"a": []}),
        lambda: Needs(labels={"a b": "c"}),
        lambda: Needs(labels={"a": "c" * 129}),
        lambda: Needs(software={"ffmpeg": "~6"}),
        lambda: Needs(labels={f"l{n}": "x" for n in range(RULES_MAX + 1)}),
        lambda: Needs(worker="no such id"),
        lambda: Prefer(),
        lambda: Prefer(worker="w1", wait="2h"),
        lambda: Prefer(worker="w1", wait="soon"),
        lambda: Choose("dearest"),  # type: ignore[arg-type]
        lambda: Choose("cheapest", overflow_after=-1),
        lambda: checked_labels({f"l{n}": "x" for n in range(LABELS_MAX + 1)}),
        lambda: check_offer({"labels": {"a": {}}}, {}),
        lambda: check_offer({}, {"cpu": -1}),
        lambda: check_offer({}, {"memory": "8QB"}),
        lambda: check_offer({}, {"gpu_info": {"vram_gb": "many"}}),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_said(wrong: Any) -> None:
    with pytest.raises(InvalidNeeds) as refused:
        wrong()
    assert refused.value.code == "invalid_needs"


def test_a_worker_of_before_may_say_anything_and_offers_what_can_be_read() -> None:
    assert offer({"a": {}}, {"memory": "lots", "cpu": 2, "gpu_info": "big"}).amounts == {"cost": 0.0, "cpu": 2.0}


def test_labels_are_read_from_a_text() -> None:
    assert labels_from_text("gpu=a100, region=eu,region=us,fast") == {
        "gpu": "a100",
        "region": ["eu", "us"],
        "fast": "true",
    }


LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["x", "y", "2", "10"]), max_size=3)


@given(LABELS, st.integers(0, 64), st.integers(0, 64))
def test_a_worker_meets_the_needs_that_describe_it(labels: dict[str, str], memory: int, cpu: int) -> None:
    has = offer(labels, {"memory": size_class(memory * GB), "cpu": size_class(cpu)})
    assert fits(Needs(labels=labels, memory=memory * GB, cpu=cpu), has)


@given(LABELS, LABELS)
def test_more_rules_never_make_more_workers_fit(labels: dict[str, str], more: dict[str, str]) -> None:
    has = offer(labels)
    both = Requirement("render", Needs(labels=more).rules()).also(Needs(labels={"a": True}).rules())
    assert not meets(both, has) or fits(Needs(labels=more), has)


@given(LABELS, st.randoms())
def test_equal_needs_are_one_requirement_however_they_are_written(labels: dict[str, str], random: Any) -> None:
    items = list(labels.items())
    random.shuffle(items)
    first, second = Needs(labels=labels), Needs(labels=dict(items))
    assert first.rules() == second.rules()
    requirement = Requirement("render", first.rules())
    assert requirement_of(requirement_json(requirement)) == requirement


@given(st.integers(0, 1 << 60))
def test_a_size_class_is_never_less_than_the_size_and_at_most_an_eighth_more(size: int) -> None:
    assert size <= size_class(size) <= size + size / 8
    assert size_class(size_class(size)) == size_class(size)


@given(st.lists(st.integers(0, 99), min_size=1, max_size=4), st.lists(st.integers(0, 99), min_size=1, max_size=4))
def test_versions_compare_by_their_numbers(one: list[int], other: list[int]) -> None:
    text = ".".join(map(str, one))
    key = version_key(text)
    assert key is not None
    assert version_key(text + ".0") == key
    assert fits(Needs(software={"x": f">={'.'.join(map(str, other))}"}), offer(installed_software={"x": text})) == (
        key >= (version_key(".".join(map(str, other))) or ())
    )


def test_sizes_are_powers_of_1024() -> None:
    assert parse_size("1.5GB") == parse_size("1536 MiB") == 1536 * 1024**2
