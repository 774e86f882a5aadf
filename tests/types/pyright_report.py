"""What pyright says of the files of this folder: it takes seconds to start, so it is asked once for all of them."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHECKED = ("blueprint_wiring.py", "worker_ok.py", "worker_wrong.py")


def pyright_errors(name: str) -> dict[int, str]:
    """By line, from 1; *name* is one of CHECKED."""
    assert name in CHECKED, name
    errors = [one for one in _report() if one["severity"] == "error" and Path(one["file"]) == HERE / name]
    return {one["range"]["start"]["line"] + 1: one["message"] for one in errors}


@cache
def _report() -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    paths = [str(HERE / name) for name in CHECKED]
    done = subprocess.run([*command, *paths], cwd=ROOT, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout[done.stdout.index("{") :])
    assert report["summary"]["filesAnalyzed"] == len(CHECKED), done.stdout + done.stderr
    found: list[dict[str, Any]] = report["generalDiagnostics"]
    return found
