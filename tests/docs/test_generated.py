"""Pages that are drawn from code are as the code is now."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = load_generator()


@pytest.mark.parametrize("name", GENERATOR.PAGES)
def test_a_page_that_is_drawn_from_code_is_not_stale(name: str) -> None:
    page = GENERATOR.PAGES[name]()
    assert (DOCS / name).read_text() == page, f"docs/{name} is stale: python docs/generate.py"
    assert page.endswith("\n")
