"""JSON Schemas of the models in the table of operations, under names that no two of them share."""

from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from muster.api.models import Problem
from muster.api.operations import Operation
from muster.api.schema_words import bounds_in_words, rewritten

REF: Final = "#/components/schemas/{model}"


class ModelSchemas:
    """`named` holds the schemas; `body` and `answer` tell how to refer to them."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        rows = tuple(operations)
        wanted: dict[tuple[Any, JsonSchemaMode], None] = {}
        for row in rows:
            wanted |= {(model, "validation"): None for model in (row.body, row.form) if model is not None}
            wanted |= {(answer.model, "serialization"): None for answer in row.answers if answer.model is not None}
        wanted[Problem, "serialization"] = None
        # Numbers as keys: list[X] and dict[str, X] are no keys that pydantic would take.
        self._keys = {key: str(number) for number, key in enumerate(wanted)}
        inputs = [(self._keys[model, mode], mode, TypeAdapter(model)) for model, mode in wanted]
        self._schemas, definitions = TypeAdapter.json_schemas(inputs, ref_template=REF)
        self.named: dict[str, Any] = {
            name: rewritten(schema, bounds_in_words) for name, schema in definitions.get("$defs", {}).items()
        }

    def body(self, model: type[BaseModel]) -> dict[str, Any]:
        return self._schemas[self._keys[model, "validation"], "validation"]

    def answer(self, model: Any) -> dict[str, Any]:
        return self._schemas[self._keys[model, "serialization"], "serialization"]

    def written_out(self, model: type[BaseModel]) -> dict[str, Any]:
        """The schema of a body itself, not a reference to it."""
        schema = self.body(model)
        name = schema.get("$ref", "").rpartition("/")[2]
        found: dict[str, Any] = self.named[name] if name else schema
        return found
