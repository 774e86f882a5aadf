"""Ids carry where their thing is kept."""

import doctest
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster.core import ids, retry
from muster.core.ids import (
    PARTITIONS_MAX,
    UnixMs,
    is_job_id,
    is_worker_id,
    new_job_id,
    partition_of,
    split_task_id,
    task_id,
)

TIMES = st.integers(0, 2**48 - 1).map(UnixMs)
PARTITIONS = st.integers(0, PARTITIONS_MAX - 1)
RANDOM = st.integers(0, 2**62 - 1)


@given(TIMES, PARTITIONS, RANDOM)
def test_a_job_id_is_a_uuid_of_version_7_that_names_its_partition(now: UnixMs, partition: int, random_62: int) -> None:
    job = new_job_id(now, partition, random_62)
    uuid = UUID(job)
    assert str(uuid) == job
    assert (uuid.version, uuid.variant) == (7, "specified in RFC 4122")
    assert uuid.int >> 80 == now
    assert uuid.int & (2**62 - 1) == random_62
    assert partition_of(job) == partition
    assert is_job_id(job)


@given(TIMES, TIMES, PARTITIONS, RANDOM)
def test_ids_sort_by_the_time_they_were_made(early: UnixMs, late: UnixMs, partition: int, random_62: int) -> None:
    first, second = sorted((early, late))
    if first != second:
        assert new_job_id(first, partition, random_62) < new_job_id(second, 0, 0)


@given(TIMES, PARTITIONS, RANDOM, st.integers(0, 10**9))
def test_a_task_id_says_which_job_it_is_of(now: UnixMs, partition: int, random_62: int, number: int) -> None:
    job = new_job_id(now, partition, random_62)
    assert split_task_id(task_id(job, number)) == (job, number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "018f0000-0000-7005-8000-000000000001",
        "018f0000-0000-7005-8000-000000000001.",
        "018f0000-0000-7005-8000-000000000001.-1",
        "018f0000-0000-7005-8000-000000000001.01",
        "018f0000-0000-7005-8000-000000000001.1.1",
        "018f0000-0000-7005-8000-000000000001.1\n",
        "018f0000-0000-7005-8000-000000000001.99999999999",
        "018f0000-0000-7005-8000-000000000001.\u0661",
        "not-a-job.1",
    ],
)
def test_what_is_no_task_id_is_recognised_without_asking_the_store(text: str) -> None:
    assert split_task_id(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "../../etc/passwd",
        "018F0000-0000-7005-8000-000000000001",
        "018f0000-0000-4005-8000-000000000001",
        "018f0000-0000-7005-c000-000000000001",
        "018f0000-0000-7005-8000-00000000000",
        "018f0000-0000-7005-8000-000000000001\n",
        "{018f0000-0000-7005-8000-000000000001}",
    ],
)
def test_what_is_no_job_id_is_recognised_without_asking_the_store(text: str) -> None:
    assert not is_job_id(text)


@given(st.text(st.sampled_from("0123456789abcdef-.7\n\0é\u0661{")))
def test_no_text_can_make_the_readers_of_ids_fail(text: str) -> None:
    is_job_id(text)
    is_worker_id(text)
    split_task_id(text)


@pytest.mark.parametrize(
    ("text", "ok"), [("w1", True), ("gpu-7.rack:2_a", True), ("a" * 128, True), ("", False), ("a" * 129, False),
                     ("a b", False), ("w\n", False), ("ü", False), ("a|b", False), ("a,b", False)]
)  # fmt: skip
def test_a_worker_id_is_1_to_128_plain_characters(text: str, ok: bool) -> None:
    assert is_worker_id(text) is ok


@pytest.mark.parametrize("module", [ids, retry])
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
