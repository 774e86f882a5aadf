"""The blueprints a server knows: of each name the one that new jobs begin with, and versions that jobs still run on.

Code is loaded from files. What is data, and where new jobs begin, is set by whoever knows the deployment (`serve`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from muster.blueprint.check import collisions, problems_of
from muster.blueprint.definition import AnyBlueprint
from muster.blueprint.graphs import version_number
from muster.blueprint.loading import load_blueprints
from muster.blueprint.problems import BlueprintError, Problem
from muster.blueprint.recursion import endless
from muster.core.blueprint_head import BlueprintHead


@dataclass(frozen=True, slots=True)
class Served:
    """What a deployment says beside the code: versions that are data, by name and version, and heads by name."""

    data: Mapping[str, Mapping[str, AnyBlueprint]] = field(default_factory=dict[str, Mapping[str, AnyBlueprint]])
    heads: Mapping[str, BlueprintHead] = field(default_factory=dict[str, BlueprintHead])


class Registry:
    def __init__(self) -> None:
        self._code: dict[tuple[str, int], AnyBlueprint] = {}
        """What the files say now, by name and number."""
        self._versions: dict[str, dict[str, AnyBlueprint]] = {}
        """All code that was ever loaded, the latest of a name last."""
        self._served = Served()
        self._current: dict[str, AnyBlueprint] = {}
        self._routes: dict[tuple[str, str], AnyBlueprint] = {}

    def add(self, blueprint: AnyBlueprint) -> None:
        """Raises BlueprintError with every problem of the blueprint, and when its name or route is taken."""
        self._replace([blueprint], set(), [])

    def load(self, path_or_module: str | Path) -> tuple[AnyBlueprint, ...]:
        """Add the blueprints of a `.py` or `.yaml` file, a folder of them or a dotted module.

        Raises BlueprintError with all problems of all files; nothing is added then.
        """
        loaded = load_blueprints(path_or_module)
        return self._replace(loaded.blueprints, set(), loaded.problems)

    def reload(self, path_or_module: str | Path) -> tuple[AnyBlueprint, ...]:
        """Load again. Older versions stay for their jobs; a blueprint gone from its file takes no new ones.

        Raises BlueprintError like `load`, and then leaves everything as it was.
        """
        loaded = load_blueprints(path_or_module)
        return self._replace(loaded.blueprints, loaded.sources, loaded.problems)

    def serve(self, served: Served) -> None:
        """From now on *served* is what the deployment says, in place of what it said before."""
        self._served = served
        self._settle()

    def head(self, name: str) -> BlueprintHead | None:
        """What the deployment says of that name."""
        return self._served.heads.get(name)

    def is_code(self, name: str) -> bool:
        """Whether a file has a blueprint of that name."""
        return any(known == name for known, _ in self._code)

    def get(self, name: str) -> AnyBlueprint | None:
        """The blueprint of that name that new jobs begin with; in a rollout, those that it does not take."""
        return self._current.get(name)

    def for_job(self, name: str, job: str) -> AnyBlueprint | None:
        """The blueprint that the new job *job* begins with."""
        head = self._served.heads.get(name)
        if head is None or head.rollout is None or name not in self._current:
            return self._current.get(name)
        return self.version(name, head.version_for(job)) or self._current[name]

    def version(self, name: str, version: str) -> AnyBlueprint | None:
        """By the whole version, or by its number alone: the latest of it."""
        versions = self._all_versions(name)
        alike = [one for known, one in versions.items() if version_number(known) == version]
        return versions.get(version) or (alike[-1] if alike else None)

    def find(self, name: str, version: str) -> AnyBlueprint | None:
        """The blueprint a job began with: the exact version, else the latest with the same number, else None."""
        versions = self._versions.get(name, {})
        if version in versions:
            return versions[version]
        data = self._served.data.get(name)
        if data is not None:  # each of its versions has a number of its own
            return data.get(version)
        return self.version(name, version_number(version))

    def versions(self, name: str) -> tuple[str, ...]:
        """Of the blueprint of that name, the latest last."""
        return tuple(self._all_versions(name))

    def by_endpoint(self, api_version: str, endpoint: str) -> AnyBlueprint | None:
        """The blueprint served at `POST /api/{api_version}/{endpoint}`."""
        return self._routes.get((api_version, endpoint))

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._current))

    def all(self) -> tuple[AnyBlueprint, ...]:
        """Of every name the one that new jobs begin with, by name."""
        return tuple(self._current[name] for name in self.names())

    def code(self) -> tuple[AnyBlueprint, ...]:
        """What the files say now."""
        return tuple(self._code.values())

    def endless(self, new: Sequence[AnyBlueprint], among: Sequence[AnyBlueprint]) -> list[Problem]:
        """Of *new*, some of *among*: those whose jobs could only go on starting others, *among* what is here."""
        return endless(new, {**self._current, **{blueprint.name: blueprint for blueprint in among}})

    def api_versions(self) -> frozenset[str]:
        return frozenset(api_version for api_version, _ in self._routes)

    def _all_versions(self, name: str) -> dict[str, AnyBlueprint]:
        return {**self._served.data.get(name, {}), **self._versions.get(name, {})}

    def _replace(
        self, new: Sequence[AnyBlueprint], sources: set[str], problems: list[Problem]
    ) -> tuple[AnyBlueprint, ...]:
        """Put *new* in place of what came from *sources*, or change nothing and raise."""
        kept = [b for b in self._code.values() if b.file not in sources and not any(b is other for other in new)]
        found = [*problems, *(p for b in new for p in problems_of(b)), *collisions([*kept, *new])]
        code = {(b.name, b.version_number): b for b in (*kept, *new)}
        found += self.endless(new, [code[place] for place in sorted(code)])
        if found:
            raise BlueprintError(found)
        self._code = {(b.name, b.version_number): b for b in (*kept, *new)}
        for blueprint in new:
            versions = self._versions.setdefault(blueprint.name, {})
            versions.pop(blueprint.version, None)  # so that the latest is the last
            versions[blueprint.version] = blueprint
        self._settle()
        return tuple(new)

    def _settle(self) -> None:
        """Find what new jobs begin with: of code the highest number, unless the deployment says otherwise."""
        current = dict(self._data_in_service())
        for (name, _), blueprint in sorted(self._code.items(), key=lambda item: item[0]):
            current[name] = blueprint  # the highest number comes last
        for name in {name for name, _ in self._code}:
            head = self._served.heads.get(name)
            if head is not None and (wanted := head.rollout.base if head.rollout else head.current):
                current[name] = self.version(name, wanted) or current[name]
        self._current = current
        self._routes = _routes(current.values(), {name for name, _ in self._code})

    def _data_in_service(self) -> Iterable[tuple[str, AnyBlueprint]]:
        for name, versions in self._served.data.items():
            head = self._served.heads.get(name)
            wanted = "" if head is None else head.rollout.base if head.rollout else head.current
            if wanted in versions:
                yield name, versions[wanted]


def _routes(blueprints: Iterable[AnyBlueprint], code: set[str]) -> dict[tuple[str, str], AnyBlueprint]:
    """Code that came later may have taken the route of what is data: it wins."""
    ordered = sorted(blueprints, key=lambda blueprint: blueprint.name in code)
    return {(b.api_version, b.endpoint): b for b in ordered}
