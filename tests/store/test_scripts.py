"""The scripts as files, the keys they write, and how jobs spread over partitions."""

import re
from collections import Counter
from typing import Any

import pytest
from muster.core.approvals import NO_CHANGES, Answer, with_answer
from muster.core.file_record import NewFile, PlannedUpload, artifact_id, attached_id
from muster.core.flow import Policy
from muster.core.ids import UnixMs, partition_of
from muster.core.limits import TAG_JOBS_MAX
from muster.core.metering import COST_KEPT_MS, DURATIONS_KEPT_MS, METER_FIELDS_MAX
from muster.core.record import ChildItem, Context, Parent, Submission
from muster.core.status import JobStatus
from muster.store.approvals import QuestionChange
from muster.store.base import Claimed, Committed, Completed, Message, Mode, Refusal, Refused, Stepped, Store, Turn
from muster.store.batch_records import BatchLine, NewBatch
from muster.store.blueprint_records import HeadChange, Migration
from muster.store.child_messages import HoldChild
from muster.store.codec import dump_item
from muster.store.connection_records import Backfill, Pause, Slot
from muster.store.entered import dump_entered
from muster.store.flow import Part, flow_of
from muster.store.journal import Known, Line, Meta, NotedLine, Step, TaskEvents
from muster.store.keys import SLOTS, crc16, global_tag, partition_tags, short_hash
from muster.store.operations import Retry
from muster.store.redis import RedisStore
from muster.store.scripts import names, script

from tests.conftest import MakeDeployment
from tests.support.deployment import Backend, Deployment
from tests.support.dump import read_all
from tests.support.invariants import kind_of, violations
from tests.support.samples import (
    HOUR_MS,
    asking_job,
    claim_of,
    claim_one,
    commit_of,
    committed,
    decision,
    end_of,
    first_turn,
    fresh,
    fresh_job_id,
    job_of,
    new_job,
    new_tasks,
    number_of,
    seat,
    step_on,
    waiting_job,
)

LINE = Line(UnixMs(1), "stdout", "a line")


@pytest.fixture
def deployment(deploy: MakeDeployment, real_backend: Backend) -> Deployment:
    return deploy(real_backend)


# The files


@pytest.mark.parametrize("name", names())
def test_each_script_says_what_it_takes_answers_and_does_when_sent_twice(name: str) -> None:
    source = script(name).source
    header = re.match(r"#!lua( flags=\S+)?\n--\[\[\n(.*?)\]\]", source, re.DOTALL)
    assert header is not None, "a script starts with its header"
    assert header[2].startswith(f"{name}: ")
    for word in ("KEYS", "ARGV", "OUT", "TWICE"):
        assert re.search(rf"^(?:[A-Z]+, )*{word}(?:, [A-Z]+)* +\S", header[2], re.MULTILINE), f"no {word}"


@pytest.mark.parametrize("name", names())
def test_scripts_take_the_time_from_the_server_and_never_read_user_data(name: str) -> None:
    source = script(name).source
    assert "-- @include" not in source
    for word in ("cjson", "cmsgpack", "os.time", "math.random"):
        assert word not in source
    assert re.search(r"call\('(KEYS|SCAN|SSCAN|HSCAN|ZSCAN)'", source) is None


@pytest.mark.parametrize("name", names())
def test_a_script_carries_no_function_that_it_does_not_call(name: str) -> None:
    code = re.sub(r"--.*", "", script(name).source.partition("]]\n")[2])
    functions = re.findall(r"^local function (\w+)", code, re.MULTILINE)
    idle = [function for function in functions if len(re.findall(rf"\b{function}\b", code)) < 2]
    assert idle == []


def test_each_kind_of_timer_has_a_letter_of_its_own() -> None:
    letters = re.findall(r"^  (\w) = function", script("tick").source, re.MULTILINE)
    assert len(letters) > 9
    assert sorted(letters) == sorted(set(letters)), "Lua takes the last of two in silence"


async def step_once(store: Store) -> None:
    turn = await first_turn(store, tenant="c")
    alone = {"current_task": 0, "claim": claim_of(1, classes=(short_hash("alone"),))}
    first = await committed(store, commit_of(turn, new_tasks(0, 1, type="alone"), **alone))
    assert isinstance(await step_on(store, turn, first.claimed[0]), Stepped)


async def held_schedule(store: Store) -> None:
    await store.connections.pause("acme/kept", Pause(True, UnixMs(1), "acme"))
    await store.connections.backfill("acme/kept", Backfill("f", UnixMs(1), UnixMs(2), UnixMs(0), 1, False, "acme"))


async def past_gates(store: Store) -> None:
    """One task runs, one flow waits at its gate, and a class at its own."""
    await store.flow.write_limit("global|*", {Part.SET: "{}"}, 1)
    await store.flow.gates(0, ["*"])
    await store.flow.set_policy(0, f"t:{short_hash('full')}", Policy(most=1, between_us=60_000_000, ahead_us=0))
    for tenant in ("full", "full", "d"):
        await waiting_job(store, 1, tenant, type="gated", flow=flow_of(tenant, "orders"))
    await store.claim(0, claim_of(2, classes=(short_hash("gated"),)))
    await waiting_job(store, 1, "full", type="gated", flow=flow_of("full", "orders"))
    await store.claim(0, claim_of(2, classes=(short_hash("gated"),)))
    await store.flow.audit(0)


async def everything(deployment: Deployment) -> None:
    """A day in the life of a deployment: every operation that runs a script, and every kind of key."""
    store = (await deployment.replica("r1")).store
    await store.register("w1", HOUR_MS, {"id": "w1"})
    await store.touch(HOUR_MS, ["w1"])
    await store.watch_tenant("a", "r1", HOUR_MS)
    await store.beat("w1", HOUR_MS, {})
    await store.ask_cancel("w1", ["t"])
    await store.secret("s")
    await store.blueprints.publish("orders", "1", "{}")
    await store.claim(0, claim_of(1, replica="r1", register=True))
    for tenant in ("a", "b"):  # two flows, one of them drained: their finish tags are remembered
        await waiting_job(store, 1 if tenant == "b" else 9, tenant)
    await store.claim(0, claim_of(5))
    turn = await first_turn(store, idempotency_key="k", watcher="r1")
    await store.spawn(turn.record.id, 0, turn.token, 1, new_tasks(0, 1, priority=30))
    early = await claim_one(store)
    assert isinstance(await store.complete(end_of(early)), Completed)
    await committed(
        store,
        commit_of(turn, new_tasks(1, 3, priority=30), need=4, drops=((50, 60),), messages=(Message("m", b""),)),
    )
    one, two, three = await store.claim(0, claim_of([seat(fence=f"f{i}") for i in range(3)]))
    await store.complete(end_of(one, mode=Mode.RETRY, delay_ms=HOUR_MS))
    await store.release(two.task, 1, "f1")
    await store.extend(0, "w1", HOUR_MS, [])
    told = TaskEvents(job_of(three), number_of(three), "w1", 1, None, 0, (LINE, Step(0, b"{}"), Meta("k", "v")), 1000)
    await store.append(told)
    await store.note_line(NotedLine(job_of(three), 7, None, "stdout", "a line", 1000))
    await store.figures.tally([job_of(three)])
    await store.connections.save("acme", "kept", b"{}", "n1", is_new=True, most=3)
    await store.connections.save("acme", "gone", b"{}", "n2", is_new=True, most=3)
    await store.connections.delete("acme", "gone")
    await store.connections.lead("r1", HOUR_MS)
    await the_fleet_too(store)
    await past_gates(store)
    slot = Slot("0 * * * * UTC", UnixMs(3_600_000), "run", "a job")
    await store.connections.note_slots("r1", {"acme/kept": slot}, (), [("acme/kept", slot)])
    await held_schedule(store)
    await some_batch(store)
    await a_spread_child(store)
    await store.read_log(job_of(three), 1, "r1")
    await store.read_live(job_of(three), Known(), "r1")
    await files_too(store, three)
    await store.complete(end_of(three))
    await the_evening_of(store)


async def the_evening_of(store: Store) -> None:
    await step_once(store)
    asking = await asking_job(store, deadline_ms=HOUR_MS)
    answered = await store.signal(asking.record.id, 1, decision(), "decided", fresh())
    assert isinstance(answered, Turn)
    await store.defer(asking.record.id, answered.token, HOUR_MS, failed=True)
    await store.send(asking.record.id, "early", "{}", "", fresh(), 1)
    await store.cancel(asking.record.id, fresh(), HOUR_MS, "")
    await committed(store, commit_of(await first_turn(store)))
    await store.tick(0, "t")
    await store.settle(0, "m", 0, HOUR_MS)
    await store.queue(0)
    await store.read(asking.record.id, "r1", changes=True)
    await store.jobs("a", None, 10)
    await tags_and_deletion(store)
    await questions_too(store)
    await store.workers()
    await store.claim(0, claim_of(1, replica="r1", classes=("idle",), register=True))


async def the_fleet_too(store: Store) -> None:
    await store.fleet.define("odd", "{}", 0, 10)
    await store.fleet.idle()
    await store.fleet.retire("odd")
    await store.fleet.instruct("w1", {"order": "drain"})


async def questions_too(store: Store) -> None:
    turn = await asking_job(store)
    change = QuestionChange(turn.record.id, 1, with_answer(NO_CHANGES, Answer("ada", "approved")), "", fresh())
    await store.approvals.change(change)


async def tags_and_deletion(store: Store) -> None:
    await store.blueprints.save(HeadChange("orders", 0, "n1", b"{}", {"1:a": b"{}"}), names_max=3)
    moving = await store.read((await asking_job(store)).record.id)
    assert moving is not None
    await store.blueprints.migrate(Migration(moving, "2:b", "elsewhere", None, "moved"))
    tagged = await first_turn(store, submission=Submission({}, tags=("one", "two")))
    await first_turn(store, submission=Submission({}, tags=("one",)))
    await committed(store, commit_of(tagged))
    await store.glances("acme", tag="one", statuses=None, most=10)
    await store.figures.tally([tagged.record.id])
    await store.delete((await first_turn(store)).record.id)


async def files_too(store: Store, three: Claimed) -> None:
    """The part of files: `three` is a task that is held."""
    await store.standing.of(job_of(three))
    await store.standing.held(0)
    await store.files.plan_upload("ab" * 16, PlannedUpload("acme", "a", "b"), HOUR_MS)
    await store.files.expect_upload("ab" * 16, job_of(three), 1)
    await store.files.admit("acme", "one", 1, bytes_max=2, files_max=2)
    await store.files.admit("acme", "two", 1, bytes_max=2, files_max=2)
    await store.files.forget(short_hash("acme"), "two")
    made = NewFile(artifact_id(three.task, "a"), "acme", "a", 1, "", "b", "one", three.task)
    await store.files.keep_artifact(three.task, 1, "f2", made, 2)
    await operate(store)
    own = NewFile(attached_id(job_of(three), 1), "acme", "b", 1, "", "b", "two")
    await store.files.attach(job_of(three), own, 2)


async def operate(store: Store) -> None:
    """A job that is held, let go of, fails and is started again, itself and as another."""
    turn = await first_turn(store)
    job = turn.record.id
    await store.operations.pause(job, "ann", "", "")
    turn_again = await store.operations.resume(job, fresh(), "")
    assert isinstance(turn_again, Turn)
    entered = {"begin": dump_entered(0, 1, None, None)}
    await committed(store, commit_of(turn_again, status=JobStatus.FAILED, error="x", entered=entered))
    retry = Retry(job, 1, fresh(), "1", "begin", Context(), "")
    retried = await store.operations.retry(retry)
    assert isinstance(retried, Turn)
    await committed(store, commit_of(retried))
    new = await store.operations.rerun(job, new_job(), fresh())
    assert isinstance(new, Turn)
    await committed(store, commit_of(new))


async def a_spread_child(store: Store) -> None:
    turn = await store.submit(new_job(), fresh())
    assert isinstance(turn, Turn)
    child = new_job(parent=Parent(turn.record.id, 1, 1, spread=True))
    await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, children=(child,)))
    first = await store.children.begin(child, fresh())
    assert first is not None
    for count, words in ((1, ("ann", "why")), (2, None)):
        assert await store.children.hold(HoldChild(child.id, count, turn.record.id, words), "")
    first = next(iter((await store.tick(0, fresh())).turns))
    end = dump_item(ChildItem("finished"))
    await committed(store, commit_of(first, parting=end))
    assert await store.children.ended(turn.record.id, 1, child.id, end)


async def some_batch(store: Store) -> None:
    batch = NewBatch("k" * 16, "acme", "b")
    await store.batches.add(0, batch, [BatchLine(line, "p", new_job()) for line in (1, 2)])
    await store.batches.cancel(0, batch.key)


async def test_every_script_was_exercised(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: set[str] = set()
    run = RedisStore._run

    def spy(self: RedisStore, name: str, *args: Any) -> Any:
        ran.add(name)
        return run(self, name, *args)

    monkeypatch.setattr(RedisStore, "_run", spy)
    await everything(deployment)
    assert ran == set(names())


async def test_every_kind_of_key_is_in_the_table_and_carries_the_tag(deployment: Deployment) -> None:
    await everything(deployment)
    assert deployment.server is not None
    dump = read_all(deployment.server.client)
    tags = (*deployment.tags, global_tag(deployment.namespace))
    assert all(key.startswith(tags) for key in dump.entries)
    kinds = {kind_of(key.partition("}")[2]) for key in dump.entries}
    assert None not in kinds
    seen = {kind.pattern.partition(":")[0] for kind in kinds}
    assert seen >= {"j", "h", "jt", "t", "q", "f", "V", "vt", "cls", "n", "L", "D", "tm", "ob", "k", "xr", "xf", "meta"}
    assert seen >= {"gl", "g", "gh", "gr", "gf", "gp", "gw", "gd"}
    assert seen >= {"fa", "tw", "up", "fq", "bp", "w", "wc", "ws", "wt", "lg", "sp", "md", "sb", "xl", "xt", "co", "du"}
    assert seen >= {"sn", "sz", "sf", "ba", "bm", "bq", "bl", "bh", "bv", "bj"}


async def test_user_strings_never_appear_in_a_key(deployment: Deployment) -> None:
    store = (await deployment.replica()).store
    turn = await first_turn(store, tenant="ten:ant|{x}", idempotency_key="k*y")
    await committed(store, commit_of(turn, new_tasks(0, 1, type="ty|pe"), failures_left=0))
    assert deployment.server is not None
    keys = " ".join(read_all(deployment.server.client).entries)
    assert "ant" not in keys
    assert "k*y" not in keys
    assert "ty|pe" not in keys


def test_the_scanner_finds_what_is_wrong() -> None:
    """A scanner that never complains proves nothing."""
    from tests.support.dump import Dump, Entry

    job = new_job().id
    fields = {"fin": "0", "tl": "x", "st": "running", "need": "0", "cx": "0", "nl": "1", "wv": "0"}
    found = violations(Dump({f"j:{job}": Entry("hash", None, fields), "odd": Entry("string", None, "")}))
    assert any("has a turn that never ends" in text for text in found)
    assert any("no kind of key explains odd" in text for text in found)
    assert any("counts 1 leases, there are 0" in text for text in found)
    assert any("0 jobs are counted as running, there are 1" in text for text in found)


# Lifetimes


async def test_all_keys_of_a_final_job_expire_and_none_of_a_live_one(deployment: Deployment) -> None:
    store = (await deployment.replica()).store
    live, final = await waiting_job(store, 3), await waiting_job(store, 3)
    cancelled = await store.cancel(final, fresh(), 0, "")
    assert isinstance(cancelled, Turn)
    end = commit_of(cancelled, status=JobStatus.CANCELLED, retention_ms=HOUR_MS, drops=((0, 3),))
    await committed(store, end)
    await store.tick(0, "t")
    assert deployment.server is not None
    entries = read_all(deployment.server.client).under(deployment.tags[0]).entries
    finals = {key: entry.ttl_ms for key, entry in entries.items() if final in key}
    lives = {key: entry.ttl_ms for key, entry in entries.items() if live in key}
    assert set(finals) == {f"j:{final}", f"h:{final}"}
    assert all(ttl is not None and HOUR_MS - 60_000 < ttl <= HOUR_MS for ttl in finals.values())
    assert len(lives) == 6
    assert set(lives.values()) == {None}


async def test_a_job_is_forgotten_after_its_retention_and_leaves_nothing(deployment: Deployment) -> None:
    store = (await deployment.replica()).store
    turn = await first_turn(store, history="")
    await committed(store, commit_of(turn, retention_ms=1))
    while await store.read(turn.record.id) is not None:
        pass
    assert (await store.jobs("acme", None, 10)).items == ()
    assert deployment.server is not None
    assert not [key for key in read_all(deployment.server.client).entries if turn.record.id in key]


async def test_a_tag_keeps_its_newest_ten_thousand_jobs(deployment: Deployment) -> None:
    store = (await deployment.replica()).store
    assert deployment.server is not None
    client = deployment.server.client
    for kind in ("xl", "xt"):
        key = f"{deployment.tags[0]}{kind}:{short_hash('acme')}:{short_hash('big')}"
        client.zadd(key, {fresh_job_id(): number for number in range(TAG_JOBS_MAX)})
    first = await first_turn(store, submission=Submission({}, tags=("big",)))
    assert client.zcard(key.replace("xt:", "xl:")) == TAG_JOBS_MAX
    await committed(store, commit_of(first))
    assert (client.zcard(key), client.zcount(key, 0, 0)) == (TAG_JOBS_MAX, 0)
    page = await store.tagged("acme", "big", None, 100)
    assert [record.id for record in page.items] == [first.record.id]
    assert client.zcard(key) < TAG_JOBS_MAX, "who is gone is cleared away"
    client.delete(key, key.replace("xt:", "xl:"))


async def test_a_tenant_cannot_fill_a_day_with_meters(deployment: Deployment) -> None:
    store = (await deployment.replica()).store
    await committed(store, commit_of(await first_turn(store)))
    assert deployment.server is not None
    (key,) = [key for key in deployment.dump().entries if "}co:" in key]
    deployment.server.client.hset(key, mapping={f"j|x{number}": 1 for number in range(METER_FIELDS_MAX)})
    for runtime in ("a", "b", "x|y"):
        turn = await first_turn(store, submission=Submission({"runtime": runtime}))
        await committed(store, commit_of(turn))
    fields = deployment.dump().value(key)
    assert fields["j|orders"] == "4"
    assert not [field for field in fields if field.startswith("j|orders|")]


async def test_sums_and_times_have_their_time_to_live(deployment: Deployment) -> None:
    store = (await deployment.replica()).store
    await committed(store, commit_of(await first_turn(store)))
    lives = {key.partition("}")[2][:3]: entry.ttl_ms for key, entry in deployment.dump().entries.items()}
    sums, times = lives["co:"], lives["du:"]
    assert sums is not None
    assert times is not None
    assert COST_KEPT_MS - 60_000 < sums <= COST_KEPT_MS
    assert DURATIONS_KEPT_MS < times <= DURATIONS_KEPT_MS + 86_400_000


async def test_what_a_broken_off_deletion_leaves_expires(deployment: Deployment) -> None:
    store = (await deployment.replica()).store
    assert isinstance(store, RedisStore)
    job = await waiting_job(store, 90)
    (one, two) = await store.claim(0, claim_of(2))
    assert (await store._run("delete", deployment.tags[0], job, 0, 1, HOUR_MS))[0] == b"more"
    entries = deployment.dump().under(deployment.tags[0]).entries
    assert all(entry.ttl_ms is not None for key, entry in entries.items() if key.endswith(job))
    assert await store.complete(end_of(two)) == Refused(Refusal.FINAL)
    assert await store.claim(0, claim_of(5)) == ()
    assert await store.delete(job) == ()
    assert await store.complete(end_of(one)) == Refused(Refusal.GONE, -1)


async def test_a_flush_leaves_foreign_keys_alone(deployment: Deployment) -> None:
    await everything(deployment)
    assert deployment.server is not None
    client = deployment.server.client
    foreign = ["foreign", "{" + deployment.namespace + "}x", "{" + deployment.namespace + "x0.0}j:1"]
    for key in foreign:
        client.set(key, "1")
    try:
        await (await deployment.replica()).store.flush()
        assert sorted(read_all(client).entries) == sorted(foreign)
    finally:
        client.delete(*foreign)


# Partitions


def test_slots_are_those_of_a_cluster() -> None:
    assert crc16(b"123456789") == 0x31C3


@pytest.mark.parametrize("partitions", [1, 4, 64])
def test_partitions_spread_evenly_over_the_slots(partitions: int) -> None:
    tags = partition_tags("muster", partitions)
    slots = [crc16(tag.strip("{}").encode()) % SLOTS for tag in tags]
    width = SLOTS // partitions
    assert [slot // width for slot in slots] == list(range(partitions))
    for nodes in (1, 2, 4):
        shares = Counter(slot * nodes // SLOTS for slot in slots)
        assert len(set(shares.values())) == 1 or partitions < nodes


async def test_a_job_lives_wholly_in_its_partition(deploy: MakeDeployment, real_backend: Backend) -> None:
    deployment = deploy(real_backend, partitions=64)
    store = (await deployment.replica("r1")).store
    for partition in (0, 17, 63):
        turn = await first_turn(store, partition=partition)
        assert partition_of(turn.record.id) == partition
        await committed(store, commit_of(turn, new_tasks(0, 2)))
        assert deployment.server is not None
        dump = read_all(deployment.server.client)
        places = {key.partition("}")[0] + "}" for key in dump.entries if turn.record.id in key}
        assert places == {deployment.tags[partition]}
        assert len((await store.claim(partition, claim_of(5))) or ()) == 2
    assert len((await store.jobs("acme", None, 10)).items) == 3


async def test_four_partitions_share_one_server(deploy: MakeDeployment, real_backend: Backend) -> None:
    deployment = deploy(real_backend, partitions=4)
    waiting, store = await deployment.replica("r1"), (await deployment.replica()).store
    for partition in range(4):
        await store.claim(partition, claim_of(1, replica="r1", register=True))
    for partition in range(4):
        turn = await first_turn(store, partition=partition)
        reply = await store.commit(commit_of(turn, new_tasks(0, 1)))
        assert isinstance(reply, Committed)
        (task,) = await store.claim(partition, claim_of(1))
        done = await store.complete(end_of(task))
        assert isinstance(done, Completed)
        assert done.turn is not None
        await committed(store, commit_of(done.turn))
    await waiting.store.publish("r1", "done")
    while "done" not in waiting.texts:
        await store.ping()
    assert sorted(partition for partition, text in waiting.messages if text.startswith("c|")) == [0, 1, 2, 3]
