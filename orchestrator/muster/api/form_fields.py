"""A form's JSON Schema as fields of a page, and what a browser sends of them as JSON again.

Texts, numbers, truths, choices, dates and times have fields of their own; anything else is written as JSON.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final, Literal

import orjson

from muster.core.json import JsonObject, JsonValue

Kind = Literal["text", "area", "whole", "number", "decimal", "truth", "choice", "json"]
AREA_CHARACTERS: Final = 200
"""A text that may be longer is written in an area."""
_INPUT_TYPES: Final = {
    "date": "date", "date-time": "datetime-local", "time": "time", "email": "email", "uri": "url",
}  # fmt: skip
_NUMBERS: Final = {"whole": "1", "number": "any", "decimal": "any"}


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    kind: Kind
    title: str
    description: str = ""
    required: bool = False
    input_type: str = "text"
    options: tuple[JsonValue, ...] = ()
    default: JsonValue = None
    low: float | None = None
    high: float | None = None
    length_max: int | None = None

    @property
    def sent_as(self) -> str:
        return f"f.{self.name}"


def fields_of(schema: JsonObject) -> tuple[Field, ...]:
    """In the order in which the model names them."""
    root = _resolved(schema, schema)
    needed = root.get("required", [])
    return tuple(_field(schema, name, node, name in needed) for name, node in root.get("properties", {}).items())


def _field(schema: JsonObject, name: str, written: Any, required: bool) -> Field:
    node = _resolved(schema, written)
    kind, input_type = _kind(node)
    options = tuple(node.get("enum", ())) or ((node["const"],) if "const" in node else ())
    return Field(
        name,
        kind,
        str(node.get("title") or name.replace("_", " ").capitalize()),
        str(node.get("description") or ""),
        required,
        input_type,
        options,
        node.get("default"),
        _number(node, "minimum", "exclusiveMinimum"),
        _number(node, "maximum", "exclusiveMaximum"),
        node.get("maxLength"),
    )


def _resolved(schema: JsonObject, written: Any) -> dict[str, Any]:
    """Without references, and of `X | None` only X. What stands beside a reference wins."""
    node = dict(written) if isinstance(written, Mapping) else {}
    for _ in range(8):  # a reference that leads to itself ends as JSON text
        reference = node.pop("$ref", None)
        if isinstance(reference, str):
            definitions: Any = schema.get("$defs", {})
            node = {**_members(definitions.get(reference.rpartition("/")[2])), **node}
            continue
        every = node.get("anyOf") or node.get("allOf")
        kept = [part for part in every or [] if part != {"type": "null"}]
        if len(kept) != 1:
            return node
        node = {**_members(kept[0]), **{word: node[word] for word in node if word not in {"anyOf", "allOf"}}}
    return {}


def _members(node: Any) -> Mapping[str, Any]:
    """A schema may be `true`, which says nothing."""
    return node if isinstance(node, Mapping) else {}


def _kind(node: Mapping[str, Any]) -> tuple[Kind, str]:
    if "enum" in node or "const" in node:
        return "choice", ""
    types = [_members(part).get("type") for part in node.get("anyOf", ())]
    if types in (["number", "string"], ["string", "number"]):  # how pydantic writes a Decimal
        return "decimal", "number"
    kind = node.get("type")
    kept = [one for one in kind if one != "null"] if isinstance(kind, list) else [kind]
    match kept[0] if len(kept) == 1 else None:
        case "string":
            if node.get("format") in _INPUT_TYPES:
                return "text", _INPUT_TYPES[node["format"]]
            is_long = node.get("maxLength", 0) > AREA_CHARACTERS or node.get("format") in {"multiline", "textarea"}
            return ("area", "") if is_long else ("text", "text")
        case "integer":
            return "whole", "number"
        case "number":
            return "number", "number"
        case "boolean":
            return "truth", ""
        case _:
            return "json", ""


def _number(node: Mapping[str, Any], *words: str) -> float | None:
    return next((node[word] for word in words if isinstance(node.get(word), int | float)), None)


# To the page

Sent = Mapping[str, Sequence[str]]


def rendered(fields: Sequence[Field], sent: Sent | None, faults: Mapping[str, str], id_: str) -> str:
    """The fields with what was *sent*, or their defaults, and what is wrong with which, by name."""
    return "\n".join(_one(field, sent, faults.get(field.name, ""), f"{id_}-{n}") for n, field in enumerate(fields))


def _one(field: Field, sent: Mapping[str, Sequence[str]] | None, fault: str, id_: str) -> str:
    value = _shown(field) if sent is None else (sent.get(field.sent_as) or [""])[0]
    notes = [text for text in (f"{id_}-about" if field.description else "", f"{id_}-fault" if fault else "") if text]
    described = f' aria-describedby="{" ".join(notes)}"' if notes else ""
    wrong = ' aria-invalid="true"' if fault else ""
    marks = f'id="{id_}" name="{escape(field.sent_as)}"{described}{wrong}'
    label = f'<label for="{id_}">{escape(field.title)}{"" if field.required else " <i>(optional)</i>"}</label>'
    about = f'<small id="{id_}-about">{escape(field.description)}</small>' if field.description else ""
    told = f'<strong id="{id_}-fault" class="fault">{escape(fault)}</strong>' if fault else ""
    if field.kind == "truth":
        checked = " checked" if value == "true" else ""
        label = (
            f'<label for="{id_}"><input type="checkbox" value="true" {marks}{checked}> {escape(field.title)}</label>'
        )
        return f"<p>{label}{about}{told}</p>"
    return f"<p>{label}{about}{_control(field, value, marks)}{told}</p>"


def _control(field: Field, value: str, marks: str) -> str:
    needed = " required" if field.required else ""
    if field.kind == "choice":
        return f"<select {marks}{needed}>{''.join(_options(field, value))}</select>"
    if field.kind == "area":
        longest = f' maxlength="{field.length_max}"' if field.length_max else ""
        return f'<textarea rows="5" {marks}{needed}{longest}>\n{escape(value)}</textarea>'
    if field.kind == "json":
        return f'<textarea rows="5" class="json" spellcheck="false" {marks}{needed}>\n{escape(value)}</textarea>'
    bounds = "".join(_bounds(field))
    return f'<input type="{field.input_type}" value="{escape(value)}" {marks}{needed}{bounds}>'


def _bounds(field: Field) -> Iterator[str]:
    if field.kind in _NUMBERS:
        yield f' step="{_NUMBERS[field.kind]}"'
        if field.low is not None:
            yield f' min="{field.low}"'
        if field.high is not None:
            yield f' max="{field.high}"'
    elif field.length_max is not None:
        yield f' maxlength="{field.length_max}"'


def _options(field: Field, value: str) -> Iterator[str]:
    if not field.required or not value:
        yield '<option value=""></option>'
    for option in field.options:
        text = _text(option)
        shown = option if isinstance(option, str) else text
        yield f'<option value="{escape(text)}"{" selected" if text == value else ""}>{escape(str(shown))}</option>'


def _shown(field: Field) -> str:
    if field.default is None:
        return ""
    if field.kind in {"choice", "json", "truth"} or not isinstance(field.default, str):
        return _text(field.default)
    return field.default


def _text(value: JsonValue) -> str:
    return orjson.dumps(value).decode()


# And back


def read(fields: Sequence[Field], sent: Mapping[str, Sequence[str]]) -> dict[str, JsonValue]:
    """What was sent, as JSON; the schema says later whether it fits. Empty fields are left out."""
    form: dict[str, JsonValue] = {}
    for field in fields:
        text = (sent.get(field.sent_as) or [""])[0]
        if field.kind == "truth":
            form[field.name] = text == "true"
        elif text.strip():
            form[field.name] = _value(field, text)
    return form


def _value(field: Field, text: str) -> JsonValue:
    try:
        match field.kind:
            case "whole":
                return int(text)
            case "number":
                return float(text)
            case "choice" | "json":
                value: JsonValue = orjson.loads(text)
                return value
            case _:
                return text.strip() if field.kind == "decimal" else text.replace("\r\n", "\n")
    except ValueError:
        return text
