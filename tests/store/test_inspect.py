"""What start-up looks at, and what it makes of it. A fake server is enough: no script runs here."""

from typing import Any

import fakeredis
import pytest
from muster.main import StartRefused, check_store
from muster.settings import Settings
from muster.store import topology
from muster.store.link import Address
from redis.exceptions import ResponseError

FIT = {"redis_version": "7.0.15", "maxmemory-policy": "noeviction", "aof_enabled": "1"}


class Managed(fakeredis.FakeAsyncRedis):
    """A managed server: INFO answers, CONFIG is hidden."""

    async def info(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"redis_version": "7.2.4", "maxmemory_policy": "allkeys-lru"}

    async def config_get(self, *_: Any, **__: Any) -> dict[str, str]:  # type: ignore[override]
        raise ResponseError("unknown command 'CONFIG'")


async def test_a_server_that_hides_its_settings_is_judged_by_what_it_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "_client", lambda _: Managed(decode_responses=True))
    facts = await topology.inspect(Address())
    assert (facts["redis_version"], facts["maxmemory-policy"]) == ("7.2.4", "allkeys-lru")


def test_production_refuses_a_server_that_evicts_and_says_how_to_mend_it() -> None:
    with pytest.raises(StartRefused, match="CONFIG SET maxmemory-policy noeviction"):
        check_store({**FIT, "maxmemory-policy": "allkeys-lru"}, Settings(mode="production"))


def test_development_starts_on_a_server_that_evicts() -> None:
    check_store({**FIT, "maxmemory-policy": "allkeys-lru"}, Settings(mode="development"))


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"redis_version": "6.2.14"}, "redis 6.2.14; Muster needs 7.0"),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.5"}, "valkey 7.2.5; Muster needs 8.0"),
    ],
)
def test_a_server_below_the_floor_is_refused_in_any_mode(facts: dict[str, str], named: str) -> None:
    with pytest.raises(StartRefused, match=named):
        check_store({**FIT, **facts}, Settings(mode="development"))


@pytest.mark.parametrize("facts", [FIT, {**FIT, "redis_version": "7.2.4", "valkey_version": "9.1.2"}])
def test_a_fit_server_is_taken_in_production(facts: dict[str, str]) -> None:
    check_store(facts, Settings(mode="production"))
