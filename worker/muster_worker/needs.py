"""What a task needs of its worker, whom it would rather have, and who of several is chosen: docs/guides/fleet.md.

Blueprints and contracts say it with `Needs`, `Prefer` and `Choose`; the orchestrator gets it as rules, which are plain
lists: `["label:gpu", "in", ["a100"]]`. Equal needs give equal rules, however they were written.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, TypedDict

from muster_worker.durations import Duration, parse_duration_ms

RULES_MAX: Final = 32
"""Rules of one task: every worker that may do it is held against all of them."""
LABELS_MAX: Final = 64
"""Labels of one worker."""
VALUES_MAX: Final = 32
"""Values of one label, and of one rule."""
TEXT_MAX: Final = 128
PREFER_MS_MAX: Final = 3_600_000
OVERFLOW_MS_MAX: Final = 3_600_000
DEFAULT_PREFER: Final = "10s"
SAME: Final = "same"
"""`prefer="same"`: the worker that did the job's task before this one."""
POLICIES: Final = ("any", "cheapest", "fastest", "least_loaded", "best_value")
SIZES: Final = ("memory", "vram")

Size: TypeAlias = str | int
"""`"8GB"`, `"512MB"`, or bytes. Units are powers of 1024, with or without the i."""
LabelRule: TypeAlias = str | bool | Sequence[str]
"""`"a100"` equals; `["eu", "us"]` one of; `">=3"` at least; `"!eu"` there and not that; True there; False not there."""
Rule: TypeAlias = tuple[str, str, tuple[str, ...]]
"""Subject, comparator (`in`, `not`, `ge`, `le`, `has`, `lacks`, `like`) and values."""
Policy: TypeAlias = Literal["any", "cheapest", "fastest", "least_loaded", "best_value"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_WORKER: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_SIZE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?\s*", re.IGNORECASE)
_VERSION: Final = re.compile(r"v?\d+(\.\d+)*([.+_-]?[A-Za-z0-9]+)*")
_SIGNS: Final = re.compile(r"[<>=!~^*]+")
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


class InvalidNeeds(ValueError):
    """Needs that cannot be. `code` is stable."""

    code = "invalid_needs"


def parse_size(value: Size) -> int:
    """Bytes. Raises InvalidNeeds.

    >>> [parse_size(text) for text in ("8GB", "8GiB", "1.5k", 512)]
    [8589934592, 8589934592, 1536, 512]
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidNeeds(f"{value!r} is not a size; write bytes as a number, or a text such as '512MB' or '8GB'")
    unit: int = 1024 ** _POWERS[found[2].lower()]
    return math.ceil(float(found[1]) * unit)


def size_class(amount: int) -> int:
    """*amount* rounded up to four binary digits, so that like needs are one class: 8, 9 … 16, 18 … 32, 36 etc.

    >>> [size_class(n) for n in (0, 7, 16, 17, 24, 33)]
    [0, 7, 16, 18, 24, 36]
    """
    step = 1 << max(0, amount.bit_length() - 4)
    return -(-amount // step) * step


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a worker must have, or it does not get the task. It says nothing of what the task uses up.

    Args:
        labels: by name, see `LabelRule`.
        memory, vram: at least so much, `"8GB"`; vram of one GPU.
        cpu, gpu: at least so many.
        gpu_model: a part of the GPU's name, in any case.
        models: names of installed models, or names with a version: `["llama-3"]`, `{"llama-3": ">=2"}`.
        software: `{"ffmpeg": ">=6", "blender": True}`.
        worker: this worker and no other.

    Raises InvalidNeeds where it is made, so a contract with a mistake is found when it is loaded.
    """

    labels: Mapping[str, LabelRule] = field(default_factory=dict[str, LabelRule])
    memory: Size | None = None
    vram: Size | None = None
    cpu: float | None = None
    gpu: int | None = None
    gpu_model: str | None = None
    models: Sequence[str] | Mapping[str, str | bool] = ()
    software: Mapping[str, str | bool] = field(default_factory=dict[str, str | bool])
    worker: str | None = None

    def __post_init__(self) -> None:
        self.rules()

    def rules(self) -> tuple[Rule, ...]:
        """Canonical: sorted, sizes rounded up by `size_class`."""
        found = [_label(name, wish) for name, wish in _mapping("labels", self.labels).items()]
        models: Any = self.models
        found += [_version_of("model", name, wish) for name, wish in _named("models", models).items()]
        found += [_version_of("software", name, wish) for name, wish in _mapping("software", self.software).items()]
        for name in SIZES:
            if (size := getattr(self, name)) is not None:
                found.append((name, "ge", (str(size_class(parse_size(size))),)))
        if self.cpu is not None:
            found.append(("cpu", "ge", (f"{size_class(math.ceil(_amount('cpu', self.cpu) * 8)) / 8:g}",)))
        if self.gpu is not None:
            found.append(("gpu", "ge", (f"{math.ceil(_amount('gpu', self.gpu))}",)))
        if self.gpu_model is not None:
            found.append(("gpu_model", "like", (_text("gpu_model", self.gpu_model).lower(),)))
        if self.worker is not None:
            found.append(worker_rule(self.worker))
        return checked_rules(found)


@dataclass(frozen=True, kw_only=True)
class Prefer:
    """Whom the task waits for a while before anybody may take it who meets its needs.

    Args:
        worker: an id, or `"same"`: the worker that did the job's last task.
        labels: as in `Needs`.
        wait: so long at most, an hour at the longest.
    """

    worker: str | None = None
    labels: Mapping[str, LabelRule] = field(default_factory=dict[str, LabelRule])
    wait: Duration = DEFAULT_PREFER

    def __post_init__(self) -> None:
        if not self.rules():
            raise InvalidNeeds("Prefer needs a worker or labels")
        if not 0 < self.wait_ms <= PREFER_MS_MAX:
            raise InvalidNeeds(f"a task waits for whom it prefers more than 0 s and at most 1 h, not {self.wait!r}")

    @property
    def wait_ms(self) -> int:
        return _duration_ms(self.wait)

    def rules(self) -> tuple[Rule, ...]:
        found = [_label(name, wish) for name, wish in _mapping("labels", self.labels).items()]
        if self.worker is not None:
            found.append(worker_rule(self.worker))
        return checked_rules(found)


@dataclass(frozen=True)
class Choose:
    """Which of several waiting workers gets the task.

    `cheapest` by price, `fastest` by how long the type took there, `best_value` by both, `least_loaded` by free slots.
    *overflow_after*: where a better one is busy, so long at most is waited for it.
    """

    policy: Policy
    overflow_after: Duration = 0

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise InvalidNeeds(f"{self.policy!r} is no way to choose; there are {', '.join(POLICIES)}")
        if not 0 <= self.overflow_ms <= OVERFLOW_MS_MAX:
            raise InvalidNeeds(f"overflow_after is at most 1 h, not {self.overflow_after!r}")

    @property
    def overflow_ms(self) -> int:
        return _duration_ms(self.overflow_after)


def preferred(wish: "Prefer | str | Mapping[str, LabelRule] | None") -> Prefer | None:
    """A worker's id, `"same"`, or labels, as a Prefer that waits 10 s."""
    if wish is None or isinstance(wish, Prefer):
        return wish
    return Prefer(worker=wish) if isinstance(wish, str) else Prefer(labels=wish)


def chosen(wish: "Choose | Policy | None") -> Choose | None:
    choice = Choose(wish) if isinstance(wish, str) else wish
    return None if choice is None or choice.policy == "any" else choice


def cost_rule(max_cost: float) -> Rule:
    """At most so many EUR per second of the worker's time."""
    return ("cost", "le", (f"{_amount('max_cost', max_cost):g}",))


def worker_rule(worker: str) -> Rule:
    if not isinstance(worker, str) or _WORKER.fullmatch(worker) is None:
        raise InvalidNeeds(f"{worker!r} is not a worker id; it has 1 to 128 of letters, digits and . _ : -")
    return ("worker", "in", (worker,))


def checked_rules(found: Sequence[Rule]) -> tuple[Rule, ...]:
    if len(found) > RULES_MAX:
        raise InvalidNeeds(f"{len(found)} needs of one task are more than {RULES_MAX}")
    return tuple(sorted(set(found)))


def checked_labels(labels: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """Labels of a worker: a text, number or bool each, or a list of them. Raises InvalidNeeds."""
    if len(labels) > LABELS_MAX:
        raise InvalidNeeds(f"{len(labels)} labels are more than {LABELS_MAX}")
    return {_name("label", name): _label_value(name, value) for name, value in labels.items()}


def labels_from_text(text: str) -> dict[str, str | list[str]]:
    """`gpu=a100,region=eu,fast`; a name without a value has the value `true`; one named twice has both values."""
    found: dict[str, list[str]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, sign, value = part.partition("=")
        found.setdefault(name.strip(), []).append(value.strip() if sign else "true")
    return checked_labels({name: values[0] if len(values) == 1 else values for name, values in found.items()})


def resources_from_text(text: str) -> dict[str, Any]:
    """`cpu=4,memory=8GB,gpu=1,vram=24GB`. Raises InvalidNeeds."""
    found: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (word.strip() for word in part.partition("="))
        if name in SIZES:
            found[name] = parse_size(value)
        elif name in {"cpu", "gpu"} and re.fullmatch(r"\d+(\.\d+)?", value):
            found[name] = float(value) if "." in value else int(value)
        else:
            raise InvalidNeeds(f"{part!r} is no resource; write cpu=4, gpu=1, memory=8GB or vram=24GB")
    return found


def _label_value(name: str, value: object) -> str | list[str]:
    if isinstance(value, list | tuple):
        if not 1 <= len(value) <= VALUES_MAX:
            raise InvalidNeeds(f"label {name!r} has {len(value)} values; 1 to {VALUES_MAX} fit")
        return [_plain(name, item) for item in value]
    return _plain(name, value)


def _plain(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float) and math.isfinite(value):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return _text(f"label {name!r}", value)


def _label(name: str, wish: Any) -> Rule:
    subject = f"label:{_name('label', name)}"
    if wish is True:
        return (subject, "has", ())
    if wish is False:
        return (subject, "lacks", ())
    if isinstance(wish, str):
        return _compared(subject, wish, {"": "in", ">=": "ge", "!": "not"})
    if isinstance(wish, int | float):
        return (subject, "in", (_plain(name, wish),))
    if isinstance(wish, Sequence) and 1 <= len(wish) <= VALUES_MAX:
        return (subject, "in", tuple(sorted({_bare(subject, value) for value in wish})))
    raise InvalidNeeds(
        f"{subject}: {wish!r} is no rule; write a value, a list of values, '>=3', '!value', True or False"
    )


def _version_of(kind: str, name: str, wish: Any) -> Rule:
    subject = f"{kind}:{_name(kind, name)}"
    if wish is True:
        return (subject, "has", ())
    if wish is False:
        return (subject, "lacks", ())
    if not isinstance(wish, str):
        raise InvalidNeeds(f"{subject}: {wish!r} is no rule; write a version, '>=6', True or False")
    return _compared(subject, wish, {"": "in", ">=": "ge", "==": "in"})


def _compared(subject: str, wish: str, comparators: Mapping[str, str]) -> Rule:
    sign = found[0] if (found := _SIGNS.match(wish)) else ""
    if sign not in comparators:
        known = ", ".join(repr(known) for known in comparators if known)
        raise InvalidNeeds(
            f"{subject}: {sign!r} in {wish!r} is no comparator; there are {known}, and none for equality"
        )
    value = _text(subject, wish.removeprefix(sign).strip())
    if comparators[sign] == "ge" and _VERSION.fullmatch(value) is None:
        raise InvalidNeeds(f"{subject}: {wish!r} compares with what is no number or version")
    return (subject, comparators[sign], (value,))


def _bare(subject: str, value: object) -> str:
    text = _plain(subject, value)
    if _SIGNS.match(text):
        raise InvalidNeeds(f"{subject}: a comparator such as in {text!r} stands alone, not in a list")
    return text


def _name(kind: str, name: object) -> str:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise InvalidNeeds(f"{name!r} is no name of a {kind}: it has 1 to 128 of letters, digits and . _ / -")
    return name


def _text(of: str, value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= TEXT_MAX:
        raise InvalidNeeds(f"{of}: a value is a text of 1 to {TEXT_MAX} characters, not {value!r:.200}")
    return value


def _amount(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise InvalidNeeds(f"{name} must be a number of 0 or more, not {value!r}")
    return value


def _named(of: str, given: Any) -> dict[str, str | bool]:
    if isinstance(given, Sequence) and not isinstance(given, str):
        return dict.fromkeys(given, True)
    return _mapping(of, given)


def _mapping(of: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidNeeds(f"{of} are a mapping of names to rules, not {given!r:.200}")
    return dict(given)


def _duration_ms(value: Duration) -> int:
    try:
        return parse_duration_ms(value)
    except ValueError as error:
        raise InvalidNeeds(str(error)) from error


class Where(TypedDict, total=False):
    """What a contract or a decision may say of the workers of a task.

    `needs`: what a worker must have; `max_cost`: EUR per second of its time at most; `prefer`: whom to wait for a
    while, a worker's id, `"same"`, labels or a `Prefer`; `choose`: who of several gets it.
    """

    needs: Needs | None
    max_cost: float | None
    prefer: Prefer | str | Mapping[str, LabelRule] | None
    choose: Choose | Policy | None


def checked_where(where: Where) -> Where:
    """Raises InvalidNeeds; TypeError for a word that is none of them."""
    if unknown := where.keys() - Where.__annotations__.keys():
        raise TypeError(f"{min(unknown)!r} is not known here; there are {', '.join(sorted(Where.__annotations__))}")
    needs: Any = where.get("needs")
    if needs is not None and not isinstance(needs, Needs):
        raise InvalidNeeds(f"needs must be Needs(...), not {needs!r:.200}")
    if (max_cost := where.get("max_cost")) is not None:
        cost_rule(max_cost)
    preferred(where.get("prefer"))
    chosen(where.get("choose"))
    return where
