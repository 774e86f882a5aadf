"""Blueprints that the kit is tried on."""

from typing import Any

from muster import Blueprint, Job, Next, TaskError, finished, task
from pydantic import BaseModel


class Text(BaseModel):
    words: int


class Count(BaseModel):
    total: int


count_words = task("text.count", Text, Count, timeout="10m", retries=1)

sleeper = Blueprint("sleeper")


@sleeper.start
async def fall_asleep(job: Job) -> Next:
    return job.sleep("1d", then=wake_up)


@sleeper.state
async def wake_up(job: Job) -> Next:
    return job.done({"slept": True})


counter = Blueprint("counter", input=Text)


@counter.start
async def count(job: Job[Text]) -> Next:
    return job.run(count_words, job.input, ok=counted, error=uncounted)


@counter.state
async def counted(job: Job[Text], found: Count) -> Next:
    return job.done({"total": found.total})


@counter.state
async def uncounted(job: Job[Text], error: TaskError) -> Next:
    return job.fail(f"{error.code}: {error.message}")


wide = Blueprint("wide")


@wide.start
async def fan_out(job: Job) -> Next:
    return job.map(count_words, [Text(words=n) for n in range(job.input["width"])], ok=add_up)


@wide.state
async def add_up(job: Job, found: list[Count]) -> Next:
    return job.done({"total": sum(one.total for one in found)})


payer = Blueprint("payer")


@payer.start
async def wait_for_money(job: Job) -> Next:
    return job.wait_for("paid", ok=book)


@payer.state
async def book(job: Job, told: dict[str, Any]) -> Next:
    return job.done({"cents": told["cents"]})


late_waiter = Blueprint("late_waiter")


@late_waiter.start
async def rest(job: Job) -> Next:
    return job.sleep("1h", then=wait_then)


@late_waiter.state
async def wait_then(job: Job) -> Next:
    return job.wait_for("paid", ok=finished, within="1h", late=finished)


parent = Blueprint("parent")


@parent.start
async def give_birth(job: Job) -> Next:
    return job.child(payer, {}, ok=proud, tags=["mine"])


@parent.state
async def proud(job: Job, paid: dict[str, Any]) -> Next:
    return job.sleep("1h", then=finished)


asker = Blueprint("asker")


@asker.start
async def ask(job: Job) -> Next:
    return job.ask("Go on?", yes=finished, no=finished)


def forgetful() -> Blueprint[Any, Any]:
    """A blueprint with a mistake: it keeps what it should write into `job.data` in the process."""
    blueprint, seen = Blueprint("forgetful"), list[str]()

    @blueprint.state
    async def end(job: Job) -> Next:
        seen.append(job.id)
        return job.done({"ended": seen.count(job.id)})

    @blueprint.start
    async def begin(job: Job) -> Next:
        return job.sleep("1s", then=end)

    return blueprint
