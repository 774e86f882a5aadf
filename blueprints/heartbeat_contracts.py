"""What the blueprints that run by themselves and their workers agree on."""

from muster_worker.contracts import task
from pydantic import BaseModel


class Probe(BaseModel):
    url: str


class Answer(BaseModel):
    status: int


class News(BaseModel):
    text: str


class Sent(BaseModel):
    to: str


ask_service = task("service.ask", Probe, Answer, timeout="10s", retries=0)
tell_people = task("people.tell", News, Sent)
