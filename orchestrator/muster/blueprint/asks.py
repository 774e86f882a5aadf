"""`job.ask`: the part of a job inside a state that asks people."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, overload

from muster_worker.durations import Duration, parse_duration_ms

from muster.blueprint.answers import Decision
from muster.blueprint.asking import Escalate, Form, question_of
from muster.blueprint.state import State
from muster.core.decisions import CANCELLED, LATE, Ask
from muster.core.decisions import Decision as Next

FormT = TypeVar("FormT")


class Asks:
    """What `Job` is made of, too."""

    __slots__ = ()

    def _name(self, state: State[Any]) -> str:
        raise NotImplementedError

    @overload
    def ask(
        self,
        message: str,
        /,
        *,
        form: type[FormT],
        within: Duration | None = None,
        late: State[Decision[None]] | None = None,
        cancelled: State[None] | None = None,
        approvers: Sequence[str] | None = None,
        quorum: int | Mapping[str, int] = 1,
        escalate: Escalate | Sequence[Escalate] = (),
        **choices: State[Decision[FormT]],
    ) -> Next: ...
    @overload
    def ask(
        self,
        message: str,
        /,
        *,
        form: Mapping[str, type[Any]],
        within: Duration | None = None,
        late: State[Decision[None]] | None = None,
        cancelled: State[None] | None = None,
        approvers: Sequence[str] | None = None,
        quorum: int | Mapping[str, int] = 1,
        escalate: Escalate | Sequence[Escalate] = (),
        **choices: State[Decision[Any]],
    ) -> Next: ...
    @overload
    def ask(
        self,
        message: str,
        /,
        *,
        form: None = None,
        within: Duration | None = None,
        late: State[Decision[None]] | None = None,
        cancelled: State[None] | None = None,
        approvers: Sequence[str] | None = None,
        quorum: int | Mapping[str, int] = 1,
        escalate: Escalate | Sequence[Escalate] = (),
        **choices: State[Decision[None]],
    ) -> Next: ...
    def ask(
        self,
        message: str,
        /,
        *,
        form: Form | None = None,
        within: Duration | None = None,
        late: State[Any] | None = None,
        cancelled: State[None] | None = None,
        approvers: Sequence[str] | None = None,
        quorum: int | Mapping[str, int] = 1,
        escalate: Escalate | Sequence[Escalate] = (),
        **choices: State[Any],
    ) -> Next:
        """Wait for people, who answer with one of the words: `job.ask("Ship?", approved=ship, rejected=stop)`.

        The chosen state gets the Decision. *late* gets one with the word `late` when *within* has passed, or `split`
        where the approvers disagree so that no choice can win any more; without it the job fails then.
        *cancelled* is entered when the job's owner cancels it meanwhile; without it the job ends as cancelled.

        *form* is a pydantic model that every answer fills in, or one for some of the words.
        *approvers* are names, `"group:…"` among them; each has one say. Without them anybody with the link may answer.
        *quorum* is how many of them must give the same word, or how many for which word: the first with enough wins.
        *escalate* asks further people when nobody has decided after some time. See docs/guides/approvals.md.
        """
        if not choices:
            raise ValueError("job.ask needs at least one choice, for example approved=finished")
        if late is not None and within is None:
            raise ValueError("job.ask(late=...) needs within=..., a duration such as '2d'")
        within_ms = None if within is None else parse_duration_ms(within)
        question = question_of(
            choices, form=form, approvers=approvers, quorum=quorum, escalate=escalate, within_ms=within_ms
        )
        edges = {word: self._name(state) for word, state in choices.items()}
        if late is not None:
            edges[LATE] = self._name(late)
        if cancelled is not None:
            edges[CANCELLED] = self._name(cancelled)
        return Ask(message, edges, within_ms, question)
