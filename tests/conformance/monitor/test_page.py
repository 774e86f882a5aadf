"""The page about this surface does what it says."""

import re
from pathlib import Path

from muster.core.limits import FIND_JOBS_MAX
from muster.surfaces.monitor import outbox, parameters, socket
from muster.surfaces.monitor.routes import OPERATIONS

from tests.conformance.monitor.test_examples import typed
from tests.docs.blocks import ROOT, blocks
from tests.system.processes import Cluster

PAGE = "docs/surface-monitor.md"


def test_the_blocks_of_the_page_run_in_order(cluster: Cluster, tmp_path: Path) -> None:
    script = "\n".join([f"set -euo pipefail; MUSTER_URL={cluster.a.url}", *blocks(PAGE, "sh")])
    assert typed(script, tmp_path).split() == [b"downloaded.html", b"2"]
    assert (tmp_path / "downloaded.html").read_text() == "<h1>Done</h1>\n"


def test_the_page_names_every_operation() -> None:
    text = (ROOT / PAGE).read_text()
    paths = {re.sub(r"\{\w+\}", "{id}", row.path) for row in OPERATIONS}
    named = {path for path in paths if f"{path}`" in text or f"{path}?" in text}
    of_health = {path for path in paths if path.startswith("/api/health/") and f"`/{path.rpartition('/')[2]}`" in text}
    assert paths - named - of_health == set()


def test_the_bounds_on_the_page_are_those_of_the_code() -> None:
    text = (ROOT / PAGE).read_text()
    assert f"newest {FIND_JOBS_MAX:,} executions" in text.replace("\n", " ")
    assert f"is {parameters.LIMIT} if not given and {parameters.LIMIT_MAX} at most" in text
    assert f"those it names ({socket.SUBSCRIPTIONS_MAX} at a time)" in text
    assert outbox.OUTBOX_BYTES_MAX == 1 << 20
    assert f"buffer of 1 MiB has been full for {outbox.STALL_S:g} s" in text
