"""Blueprints that run by themselves: a service is asked every 15 minutes, and a digest goes out on working days."""

from heartbeat_contracts import Answer, News, Probe, Sent, ask_service, tell_people
from muster import Blueprint, Job, Next, TaskError, cron, every

heartbeat = Blueprint(
    "heartbeat",
    input=Probe,
    schedule=every("15m", input={"url": "https://shop.example"}),
    description="Ask whether the service is well; tell people if not.",
)
digest = Blueprint(
    "digest",
    schedule=cron("0 9 * * MON-FRI", tz="Europe/Berlin", late="4h"),
    description="Tell people every working day that somebody watches.",
)


@heartbeat.start
async def ask(job: Job[Probe]) -> Next:
    return job.run(ask_service, job.input, ok=well, error=unwell)


@heartbeat.state
async def well(job: Job[Probe], answer: Answer) -> Next:
    return job.done({"status": answer.status})


@heartbeat.state
async def unwell(job: Job[Probe], error: TaskError) -> Next:
    return job.run(tell_people, News(text=f"{job.input.url}: {error.message}"), ok=told)


@heartbeat.state
async def told(job: Job[Probe], sent: Sent) -> Next:
    return job.fail(f"the service is not well; {sent.to} knows")


@digest.start
async def send(job: Job) -> Next:
    return job.run(tell_people, News(text="all is watched"), ok=sent)


@digest.state
async def sent(job: Job, receipt: Sent) -> Next:
    return job.done({"to": receipt.to})
