"""A blueprint from a `.yaml`, `.yml` or `.json` file."""

from pathlib import Path
from typing import Any, Final

import orjson

from muster.blueprint.data.definition import DataBlueprint, from_dict
from muster.blueprint.data.reading import SPEC_BYTES_MAX
from muster.blueprint.data.yaml_text import Document, YamlRefused, read_yaml
from muster.blueprint.problems import BlueprintError, Problem

FILE_BYTES_MAX: Final = 4 * SPEC_BYTES_MAX
"""Comments and indentation are not kept, but they are read."""


def load_file(path: Path, *, is_sure: bool = True) -> DataBlueprint | None:
    """The blueprint in *path*. None: it is none, where that is not *sure*.

    Raises BlueprintError with all problems, with lines where the file has any.
    """
    document = read_file(path)
    if not is_sure and not (isinstance(document.value, dict) and {"states", "start"} & document.value.keys()):
        return None
    return from_dict(document.value, file=str(path), lines=document.lines)


def read_file(path: Path) -> Document:
    """Raises BlueprintError where there is no such file, or it cannot be read."""
    try:
        return read_text(path.read_bytes(), is_json=path.suffix == ".json")
    except OSError as error:
        raise BlueprintError([Problem("", str(path), 0, f"cannot be read: {error.strerror or error}")]) from error
    except YamlRefused as error:
        raise BlueprintError([Problem("", str(path), error.line, str(error), column=error.column)]) from error


def read_text(data: bytes, *, is_json: bool) -> Document:
    """Raises YamlRefused."""
    if len(data) > FILE_BYTES_MAX:
        raise YamlRefused(f"{len(data)} bytes; at most {FILE_BYTES_MAX} are read")
    try:
        text = data.decode()
        if not is_json:
            return read_yaml(text)
        value: Any = orjson.loads(text)
    except UnicodeDecodeError as error:
        raise YamlRefused(f"this is not UTF-8: {error.reason} at byte {error.start}") from error
    except orjson.JSONDecodeError as error:
        raise YamlRefused(f"this is not JSON: {error.msg}", error.lineno, error.colno) from error
    return Document(value, {})
