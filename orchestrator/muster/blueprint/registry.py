"""The blueprints a server knows: the newest of each name, and older versions that jobs may still run on."""

from collections.abc import Sequence
from pathlib import Path

from muster.blueprint.check import collisions, problems_of
from muster.blueprint.definition import AnyBlueprint
from muster.blueprint.graphs import version_number
from muster.blueprint.loading import load_blueprints
from muster.blueprint.problems import BlueprintError, Problem


class Registry:
    def __init__(self) -> None:
        self._newest: dict[str, AnyBlueprint] = {}
        self._versions: dict[str, dict[str, AnyBlueprint]] = {}
        self._routes: dict[tuple[str, str], AnyBlueprint] = {}

    def add(self, blueprint: AnyBlueprint) -> None:
        """Raises BlueprintError with every problem of the blueprint, and when its name or route is taken."""
        self._replace([blueprint], set(), [])

    def load(self, path_or_module: str | Path) -> tuple[AnyBlueprint, ...]:
        """Add the blueprints of a `.py` file, a folder of them or a dotted module.

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

    def get(self, name: str) -> AnyBlueprint | None:
        """The newest blueprint of that name."""
        return self._newest.get(name)

    def find(self, name: str, version: str) -> AnyBlueprint | None:
        """The blueprint a job began with: the exact version, else the latest with the same number, else None."""
        versions = self._versions.get(name, {})
        if version in versions:
            return versions[version]
        number = version_number(version)
        alike = [b for stored, b in versions.items() if version_number(stored) == number]
        return alike[-1] if alike else None

    def versions(self, name: str) -> tuple[str, ...]:
        """Of the blueprint of that name, the latest last."""
        return tuple(self._versions.get(name, {}))

    def by_endpoint(self, api_version: str, endpoint: str) -> AnyBlueprint | None:
        """The blueprint served at `POST /api/{api_version}/{endpoint}`."""
        return self._routes.get((api_version, endpoint))

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._newest))

    def all(self) -> tuple[AnyBlueprint, ...]:
        """The newest of every name, by name."""
        return tuple(self._newest[name] for name in self.names())

    def api_versions(self) -> frozenset[str]:
        return frozenset(api_version for api_version, _ in self._routes)

    def _replace(
        self, new: Sequence[AnyBlueprint], sources: set[str], problems: list[Problem]
    ) -> tuple[AnyBlueprint, ...]:
        """Put *new* in place of what came from *sources*, or change nothing and raise."""
        kept = [b for b in self._newest.values() if b.file not in sources and not any(b is other for other in new)]
        found = [*problems, *(p for b in new for p in problems_of(b)), *collisions([*kept, *new])]
        if found:
            raise BlueprintError(found)
        self._newest = {b.name: b for b in (*kept, *new)}
        self._routes = {(b.api_version, b.endpoint): b for b in self._newest.values()}
        for blueprint in new:
            versions = self._versions.setdefault(blueprint.name, {})
            versions.pop(blueprint.version, None)  # so that the latest is the last
            versions[blueprint.version] = blueprint
        return tuple(new)
