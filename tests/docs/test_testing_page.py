"""The page about testing is a test file."""

import inspect
import sys
from importlib import import_module
from pathlib import Path

import pytest
from muster.testing import TestMuster

from tests.docs.blocks import blocks


async def test_every_test_of_the_page_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, page in (("shop", "docs/blueprints.md"), ("test_shop", "docs/guides/testing.md")):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text("\n\n".join(blocks(page, "python")))
    tests = [value for name, value in vars(import_module("test_shop")).items() if name.startswith("test_")]
    assert len(tests) == 9
    for test in tests:
        assert inspect.iscoroutinefunction(test)
        async with TestMuster() as kit:
            await test(kit)
    for name in ("shop", "test_shop"):
        monkeypatch.delitem(sys.modules, name)
