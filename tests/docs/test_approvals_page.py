"""The page about approvals is a blueprint and its tests."""

import inspect
import sys
from importlib import import_module
from pathlib import Path

import pytest
from muster.testing import TestMuster

from tests.docs.blocks import blocks


async def test_every_test_of_the_page_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "page_of_approvals.py").write_text("\n\n".join(blocks("docs/guides/approvals.md", "python")))
    tests = [value for name, value in vars(import_module("page_of_approvals")).items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        assert inspect.iscoroutinefunction(test)
        async with TestMuster() as kit:
            await test(kit)
    monkeypatch.delitem(sys.modules, "page_of_approvals")
