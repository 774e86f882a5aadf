"""A worker for the blueprints that run by themselves: `python blueprints/heartbeat_worker.py`."""

from heartbeat_contracts import Answer, News, Probe, Sent, ask_service, tell_people
from muster_worker import Ctx, Permanent, Worker

worker = Worker()


@worker.task(ask_service)
async def ask(ctx: Ctx, probe: Probe) -> Answer:
    """Stands for a request to the service."""
    ctx.log.info("asking %s", probe.url)
    if "broken" in probe.url:
        raise Permanent("no answer")
    return Answer(status=200)


@worker.task(tell_people)
async def tell(ctx: Ctx, news: News) -> Sent:
    """Stands for a message to whoever is on duty."""
    ctx.log.info("%s", news.text)
    return Sent(to="on duty")


if __name__ == "__main__":
    worker.run()
