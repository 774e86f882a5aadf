"""Bodies and answers of the routes of questions to people, as the reference shows them."""

from typing import Annotated, Any, Literal

from muster_worker.wire import Wire
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, StrictStr

DecisionText = Annotated[StrictStr, Field(min_length=1, max_length=256)]
NameText = Annotated[StrictStr, Field(min_length=1, max_length=200)]
NoteText = Annotated[StrictStr, Field(max_length=2000)]


class _Request(BaseModel):
    """Unknown members are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Decide(_Request):
    """The owner's answer to a question of the job."""

    decision: Annotated[DecisionText, Field(examples=["approved"])]
    note: NoteText = ""
    by: Annotated[StrictStr, Field(max_length=256, description="Who decided, as the client says.")] = ""
    approver: Annotated[
        StrictStr, Field(max_length=200, description="Whose say it is, where the question names approvers; else `by`.")
    ] = ""
    form: Annotated[JsonValue, Field(description="What the question's form asks for.")] = None


class Approve(_Request):
    """An outside system's answer to a question of the job."""

    decision: Annotated[DecisionText, Field(examples=["approved"])]
    comment: NoteText | None = None
    by: Annotated[StrictStr, Field(max_length=256, description="Who decided, as the caller says.")] = ""
    form: Annotated[JsonValue, Field(description="What the question's form asks for.")] = None


class Delegate(_Request):
    """Hands an approver's say to somebody who has none."""

    approver: Annotated[NameText, Field(examples=["ada"], description="Whose say it is.")]
    to: Annotated[NameText, Field(examples=["carol"], description="Who has it from now on.")]
    note: NoteText = ""


class _Answer(Wire):
    pass


class Delegated(_Answer):
    status: Literal["approval_delegated"]
    job_id: str
    approver: str
    to: str


class Decided(_Answer):
    """The members after `job_id` only where the question names approvers."""

    status: Literal["approval_received"]
    job_id: str
    decided: Annotated[
        str | None, Field(description="The choice that has won by now, or `split`; null while others must answer.")
    ] = None
    answers: Annotated[int | None, Field(description="How many have been given.")] = None
    missing: Annotated[list[str] | None, Field(description="Who has a say and has not given it.")] = None


class Approver(_Answer):
    approver: Annotated[str, Field(description="Who has the say now.")]
    instead_of: Annotated[str | None, Field(description="Who was asked and handed the say on.")]
    answered: Annotated[str | None, Field(description="The choice they gave.")]
    token: str
    link: Annotated[str | None, Field(description="Their page. Null where the server's URL is not known.")]


class GivenAnswer(_Answer):
    decision: str
    approver: str | None
    by: str
    note: str
    form: JsonValue
    proof: Annotated[
        Literal["link", "token", "client", "none"],
        Field(description="`link`: by the approver's own link. Else who gave it is a claim of the question's token, "
                          "of the job's client, or of anybody."),
    ]  # fmt: skip
    at: AwareDatetime


class Step(_Answer):
    at: AwareDatetime
    approvers: list[str]
    done: bool


class AskedQuestion(_Answer):
    """A question that waits for people."""

    job_id: str
    blueprint_name: str
    current_state: str
    tags: list[str]
    message: str
    decisions: list[str]
    asked_at: AwareDatetime
    deadline_at: AwareDatetime | None
    approval_token: Annotated[str, Field(description="For one answer of anybody; with approvers, of whom it names.")]
    link: Annotated[str | None, Field(description="The page of that token.")]
    quorum: Annotated[dict[str, int], Field(description="How many people must give which choice.")]
    forms: Annotated[dict[str, dict[str, Any]], Field(description="JSON Schema of the form, by choice.")]
    approvers: Annotated[list[Approver], Field(description="None: anybody may answer.")]
    answers: list[GivenAnswer]
    escalations: list[Step]
    escalates_at: Annotated[AwareDatetime | None, Field(description="When the next ones are asked.")]


class Inbox(_Answer):
    items: list[AskedQuestion]
    next: Annotated[str | None, Field(description="`cursor` of the next page; null on the last.")]
