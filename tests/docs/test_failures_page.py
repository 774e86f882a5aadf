"""The page about failing tasks: what it shows can be made, and what it says of defaults is so."""

import re
from typing import Any

from muster.core.limits import LOSS_SPREAD_MS, REQUEUE_AFTER_MS, TASK_LOSSES_MAX, TASK_REQUEUES_MAX, TASK_RETRIES
from muster.core.timeouts import CODE_OF
from muster_worker.retry_policy import CODES_MAX, RetryPolicy

from tests.docs.blocks import ROOT, blocks

PAGE = "docs/guides/failures.md"


def test_what_the_page_shows_can_be_made() -> None:
    made: dict[str, Any] = {}
    for block in blocks(PAGE, "python"):
        exec(block, made)
    assert made["charge_card"].retry.on["RATE_LIMITED"].retries == 50
    assert made["orders"].deadline_ms == 7_200_000


def test_the_defaults_and_codes_of_the_page_are_those_of_the_code() -> None:
    text = " ".join((ROOT / PAGE).read_text().split())
    usual = RetryPolicy()
    assert (usual.first_ms, usual.factor, usual.cap_ms, usual.jitter) == (1_000, 2, 60_000, "full")
    assert f"| `retries` | {TASK_RETRIES} (`MUSTER_JOB_MAX_RETRIES`)" in text
    assert f"({REQUEUE_AFTER_MS // 1000} s without `after`)" in text
    assert f"After {TASK_REQUEUES_MAX:,} times" in text
    assert f"within {LOSS_SPREAD_MS // 1000} s" in text
    assert TASK_LOSSES_MAX == 3
    assert f"up to {CODES_MAX} " in text
    assert set(re.findall(r"`([A-Z_]*TIMEOUT(?:_ERROR)?)` \|", text)) == set(CODE_OF.values())
