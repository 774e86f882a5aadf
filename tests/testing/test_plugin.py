"""The plugin as a user's pytest loads it."""

import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from tests.docs.blocks import ROOT


@pytest.mark.timeout(180)  # a process of its own, on a machine that may be busy
def test_the_examples_beside_the_blueprints_pass_with_the_plugin_alone() -> None:
    path = os.pathsep.join((str(ROOT / "orchestrator"), str(ROOT / "worker"), *sys.path))
    is_installed = "muster" in {point.name for point in entry_points(group="pytest11")}
    plugin = () if is_installed else ("-p", "muster.pytest_plugin")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugin, "-p", "no:cacheprovider", "-p", "no:xdist",
         "blueprints"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
