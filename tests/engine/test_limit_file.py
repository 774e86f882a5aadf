"""The file of limits: what it says, what is wrong with it, and what of it holds beside limits that calls have set."""

import asyncio
from pathlib import Path

import pytest
from muster.core.flow import Limit, Policy, Scope
from muster.core.limits import LIMITS_MAX
from muster.engine import limit_file
from muster.engine.limit_file import LimitFile, LimitsRefused, read_limits
from muster.engine.limits import Limits, Source
from muster.errors import ErrorCode, MusterError
from muster.main import running_engine
from muster.observe.metrics import Metrics
from muster.settings import Settings
from muster.store.flow import gate_of

from tests.docs.blocks import blocks
from tests.support.deployment import Deployment
from tests.support.waiting import eventually

SHOWN = blocks("docs/guides/flow-control.md", "toml")[0]


@pytest.fixture
async def limits(deployment: Deployment) -> Limits:
    return Limits((await deployment.replica("r1")).store, 1, Metrics())


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "limits.toml"
    path.write_text(text)
    return path


def file(tmp_path: Path, limits: Limits, text: str) -> LimitFile:
    return LimitFile(written(tmp_path, text), limits)


async def shown(limits: Limits) -> dict[str, tuple[int | None, str | None]]:
    return {f"{view.limit.scope} {view.limit.name}": (view.limit.max, view.source) for view in await limits.all()}


# What it says


def test_the_file_that_the_guide_shows_is_read(tmp_path: Path) -> None:
    assert read_limits(written(tmp_path, SHOWN)) == (
        Limit(Scope.GLOBAL, "*", max=200),
        Limit(Scope.TENANT, "acme", max=50, weight=2.0),
        Limit(Scope.TASK, "image.resize", max=4),
        Limit(Scope.BLUEPRINT, "renders", rate=60, per_ms=60_000, burst=10),
        Limit(Scope.KEY, "site:*", "acme", rate=1, per_ms=1_000),
    )


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert read_limits(written(tmp_path, "")) == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[", "limits.toml is not TOML: "),
        ("[task.resize]\nmax = -1", "limits.toml: [task.resize]: max is a whole number from 0 to "),
        ("[task.resize]\nmax = 99999999999999", "limits.toml: [task.resize]: max is a whole number from 0 to "),
        ("[task.resize]\nmax = 1.5", "[task.resize]: max is a whole number"),
        ('[task."image.resize"]\nmaximum = 1', "[task.\"image.resize\"]: a limit has no 'maximum'"),
        ("[task.resize]\n", "[task.resize]: a limit limits something"),
        ("[task.resize]\nrate = 0\nper = '1s'", "[task.resize]: rate is a whole number from 1 to "),
        ("[task.resize]\nrate = 1", "[task.resize]: a rate needs a period"),
        ("[task.resize]\nrate = 1\nper = 'never'", "[task.resize]: per is a duration such as "),
        ("[task.resize]\nweight = 2", "[task.resize]: only a tenant has a weight"),
        ("[taks.resize]\nmax = 1", "limits.toml: taks is no scope; there are global, tenant, task, blueprint, key"),
        ("max = 1", "limits.toml: max is no scope"),
        ("global = 3", "limits.toml: global is 3; write [global], and max or rate below it"),
        ("[task]\nresize = 1", "limits.toml: task.resize is 1; write [<scope>.<name>], and max or rate below it"),
        ('[key."site:*"]\nmax = 1', "is 1; write [key.<tenant>.<key>], and max or rate below it"),
        ('[key."a|b".x]\nmax = 1', "'a|b' cannot be a tenant; write [key.<tenant>.<key>]"),
        ('[key.acme."si*te"]\nmax = 1', "[key.acme.\"si*te\"]: '*' stands for a whole group of keys"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_table(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(LimitsRefused) as refused:
        read_limits(written(tmp_path, text))
    assert why in str(refused.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(LimitsRefused) as refused:
        read_limits(written(tmp_path, "[task.a]\nmax = -1\n[oops.b]\n[tenant.c]\nburst = 2"))
    assert len(refused.value.problems) == 3


def test_a_file_that_is_not_there_says_so_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(LimitsRefused, match=r"gone.toml \(MUSTER_LIMITS_FILE\) cannot be read: No such file"):
        read_limits(tmp_path / "gone.toml")


def test_more_limits_than_there_may_be_are_refused(tmp_path: Path) -> None:
    many = "".join(f"[task.t{number}]\nmax = 1\n" for number in range(LIMITS_MAX + 1))
    with pytest.raises(LimitsRefused, match=f"{LIMITS_MAX + 1} limits are more than {LIMITS_MAX}"):
        read_limits(written(tmp_path, many))


async def test_a_server_with_a_mistake_in_the_file_does_not_start(tmp_path: Path) -> None:
    path = written(tmp_path, "[task.resize]\nmax = -1")
    settings = Settings(redis_url="redis://127.0.0.1:1", limits_file=path)
    with pytest.raises(LimitsRefused, match="max is a whole number"):
        async with running_engine(settings):
            pytest.fail("it started")


# What holds


async def test_the_file_holds_and_what_it_says_no_longer_does_not(tmp_path: Path, limits: Limits) -> None:
    await file(tmp_path, limits, "[task.a]\nmax = 1\n[task.b]\nmax = 2").apply()
    assert await shown(limits) == {"task a": (1, "file"), "task b": (2, "file")}
    await file(tmp_path, limits, "[task.b]\nmax = 3").apply()
    assert await shown(limits) == {"task b": (3, "file")}
    store = limits._store
    assert await store.flow.policies(0) == {gate_of(Limit(Scope.TASK, "b")): Policy(most=3)}
    await file(tmp_path, limits, "").apply()
    assert await shown(limits) == {}
    assert await store.flow.policies(0) == {}


async def test_what_a_call_sets_comes_before_the_file_until_it_is_lifted(tmp_path: Path, limits: Limits) -> None:
    await limits.put(Limit(Scope.TASK, "a", max=9))
    await file(tmp_path, limits, "[task.a]\nmax = 1").apply()
    assert await shown(limits) == {"task a": (9, Source.CALL)}
    await limits.drop(Limit(Scope.TASK, "a"))
    assert await shown(limits) == {"task a": (1, Source.FILE)}
    assert await limits._store.flow.policies(0) == {gate_of(Limit(Scope.TASK, "a")): Policy(most=1)}
    with pytest.raises(MusterError) as refused:
        await limits.drop(Limit(Scope.TASK, "a"))
    assert refused.value.code is ErrorCode.LIMIT_OF_FILE


async def test_a_pause_outlasts_the_file_and_is_lifted_by_itself(tmp_path: Path, limits: Limits) -> None:
    await limits.pause(Scope.TASK, "a")
    await file(tmp_path, limits, "[task.a]\nmax = 1").apply()
    (view,) = await limits.all()
    assert (view.limit.paused, view.limit.max, view.source) == (True, 1, Source.FILE)
    await limits.drop(Limit(Scope.TASK, "a"))
    (view,) = await limits.all()
    assert (view.limit.paused, view.limit.max) == (False, 1)


async def test_several_servers_with_the_same_file_set_the_same(tmp_path: Path, limits: Limits) -> None:
    again = Limits(limits._store, 1, Metrics())
    text = "[task.a]\nmax = 1\n[global]\nmax = 5"
    await asyncio.gather(*(file(tmp_path, one, text).apply() for one in (limits, again)))
    assert await shown(limits) == {"global *": (5, "file"), "task a": (1, "file")}


async def test_more_limits_than_the_deployment_takes_are_told(
    tmp_path: Path, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muster.engine.limits.LIMITS_MAX", 1)
    with pytest.raises(LimitsRefused, match=r"limits.toml: There are 1 limits already"):
        await file(tmp_path, limits, "[task.a]\nmax = 1\n[task.b]\nmax = 1").apply()


async def test_a_file_that_changes_is_applied_and_one_with_a_mistake_changes_nothing(
    tmp_path: Path, limits: Limits, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limit_file, "LOOK_EVERY_S", 0.001)
    one = file(tmp_path, limits, "[task.a]\nmax = 1")
    await one.apply()
    watching = asyncio.create_task(one.watch())

    async def told() -> bool:
        return "limits_not_reloaded" in caplog.text

    async def holds() -> bool:
        return await shown(limits) == {"task a": (77, Source.FILE)}

    written(tmp_path, "[task.a]\nmax = 'x'")
    await eventually(told)
    assert await shown(limits) == {"task a": (1, "file")}
    written(tmp_path, "[task.a]\nmax = 77")
    await eventually(holds)
    watching.cancel()
