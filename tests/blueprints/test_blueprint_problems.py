"""Every mistake is told at once, with file and line and what to do."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from muster.blueprint.problems import BlueprintError
from muster.blueprint.registry import Registry

Told: TypeAlias = Callable[..., str]

HEAD = "from muster import Blueprint, Decision, Job, Next, TaskError, failed, finished, task\n"


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """The text of all problems of a file with these lines below HEAD (so the first of them is line 2)."""

    def tell(text: str, name: str = "shop.py") -> str:
        path = tmp_path / name
        path.write_text(HEAD + text)
        with pytest.raises(BlueprintError) as caught:
            Registry().load(path)
        return str(caught.value)

    return tell


def test_all_problems_of_a_file_are_told_together_in_order(told: Told) -> None:
    text = told("""b = Blueprint("orders")
@b.start
def check(job):
    return job.run("x", {}, ok=pakcing)

@b.state
def packing(job):
    return job.done()

@b.state
def circle(job):
    return job.go(circle)

@b.state
def finished(job):
    return job.done()
""")
    assert re.match(r"blueprint 'orders' has 4 problems +/.*/shop\.py\n", text)
    assert "line 5   state 'check' goes to 'pakcing', which is not defined\n           did you mean 'packing'?" in text
    assert "line 8   state 'packing' can never be reached\n           add a way in (for example error=packing)" in text
    assert "line 12  state 'circle' can never be reached" in text
    assert "line 16  the state name 'finished' is reserved" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('b = Blueprint("a")', "line 2   no state is the start"),
        (
            'b = Blueprint("a")\n@b.start\ndef x(job): return job.done()\n@b.start\ndef y(job): return job.done()',
            "line 6   state 'y' is a second start, besides 'x'",
        ),
        (
            'b = Blueprint("a")\n@b.start\ndef x(job): return job.done()\n@b.state\ndef x(job): return job.done()',
            "line 6   there are two states called 'x'\n           the first is on line 4",
        ),
        ('b = Blueprint("a b")\n@b.start\ndef x(job): return job.done()', "line 2   the name 'a b' cannot be used"),
        ('b = Blueprint("a")\n@b.start\ndef größe(job): return job.done()', "line 4   the state name 'größe'"),
        (
            'b = Blueprint("a", api_version="executions")\n@b.start\ndef x(job): return job.done()',
            "line 2   api_version 'executions' is taken",
        ),
        (
            'b = Blueprint("a", endpoint="jobs/x/cancel")\n@b.start\ndef x(job): return job.done()',
            "collides with the server's own route /api/{version}/jobs/{id}/cancel",
        ),
        (
            'b = Blueprint("a", endpoint="executions/today")\n@b.start\ndef x(job): return job.done()',
            "collides with the server's own route /api/{version}/executions",
        ),
        ('b = Blueprint("a", endpoint="a//b")\n@b.start\ndef x(job): return job.done()', "is no path"),
        ('b = Blueprint("a")\n@b.start\ndef x(job): return job.go(x)', "line 4   state 'x' has no way to an end"),
        ('b = Blueprint("a")\n@b.start\ndef x(): return None', "line 4   state 'x' takes (nothing)"),
        ('b = Blueprint("a")\n@b.start(to=["y"])\ndef x(job): return job.done()', "says to=['y'], which is no state"),
        (
            'b = Blueprint("a")\ndef y(job): return job.done()\n@b.start\ndef x(job): return job.go(y)',
            "line 5   state 'x' goes to 'y', which is a plain function\n           put @<blueprint>.state above def y",
        ),
        (
            'b = Blueprint("a")\n@b.start\ndef x(job, n: int): return job.done()',
            "line 4   the start 'x' begins without an argument\n           make it int | None",
        ),
        (
            (
                'c = task("c", int, str)\nb = Blueprint("a")\n@b.start\ndef x(job):\n    return job.run(c, 1, ok=y)\n'
                "@b.state\ndef y(job, n: list[str]): return job.done()"
            ),
            "line 6   state 'x' gives 'y' str on success\n           'y' takes list[str]",
        ),
        (
            (
                'c = task("c", int, str)\nb = Blueprint("a")\n@b.start\ndef x(job): return job.map(c, [1], ok=y)\n'
                "@b.state\ndef y(job, n: str): return job.done()"
            ),
            "state 'x' gives 'y' list[str] on success",
        ),
        (
            (
                'b = Blueprint("a")\n@b.start\ndef x(job): return job.ask("?", yes=y)\n'
                "@b.state\ndef y(job, error: TaskError): return job.done()"
            ),
            "state 'x' gives 'y' Decision on yes\n           'y' takes TaskError",
        ),
        (
            'b = Blueprint("a")\n@b.start\ndef x(job): job.go(y)\n@b.state\ndef y(job, n: "No"): return job.done()',
            "which cannot be read: name 'No' is not defined",
        ),
        (
            'class D:\n    pass\nb = Blueprint("a", input=D)\n@b.start\ndef x(job): return job.done()',
            "cannot be read from JSON",
        ),
        (
            (
                "from pydantic import BaseModel\nclass D(BaseModel):\n    total: int\n"
                'b = Blueprint("a", data=D)\n@b.start\ndef x(job): return job.done()'
            ),
            "data=D has no default for: total",
        ),
        (
            """b = Blueprint("a")
@b.start
def x(job): return job.run("t", 1, ok=finished, cancelled=y)
@b.state
def y(job, error: TaskError): return job.done()
""",
            "state 'x' gives 'y' nothing on cancelled",
        ),
        ("x = 1", "has no blueprint"),
        ("x = 1/0", "line 2   cannot be imported: ZeroDivisionError: division by zero"),
        ("x = (", "line 2   cannot be imported: SyntaxError"),
    ],
)
def test_a_mistake_is_told_with_its_line(told: Told, text: str, message: str) -> None:
    assert message in told(text)


def test_a_state_of_another_blueprint_is_no_target(told: Told) -> None:
    text = told("""a = Blueprint("a")
b = Blueprint("b")
@a.start
def x(job): return job.done()
@b.start
def y(job): return job.go(x)
""")
    assert "blueprint 'b' has a problem" in text
    assert "line 7   state 'y' goes to state 'x' of blueprint 'a'" in text


def test_two_blueprints_may_not_share_a_name_or_a_route(told: Told) -> None:
    text = told("""a = Blueprint("a")
b = Blueprint("a")
c = Blueprint("c", endpoint="jobs/a")
@a.start
def x(job): return job.done()
@b.start
def y(job): return job.done()
@c.start
def z(job): return job.done()
""")
    assert "line 3   another blueprint is called 'a'" in text
    assert "line 4   POST /api/v1/jobs/a already belongs to 'a'" in text
    assert "shop.py, line 2" in text


def test_a_state_that_only_puts_jobs_aside_is_an_end(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(HEAD + 'b = Blueprint("a")\n@b.start\ndef x(job): return job.quarantine("look")\n')
    assert [b.name for b in Registry().load(path)] == ["a"]


def test_dicts_may_be_taken_where_a_model_is_given(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(
        HEAD + "from pydantic import BaseModel\nclass M(BaseModel):\n    n: int\n"
        'c = task("c", int, M)\nb = Blueprint("a")\n@b.start\ndef x(job): return job.run(c, 1, ok=y)\n'
        "@b.state\ndef y(job, m: dict): return job.done(m)\n"
    )
    assert Registry().load(path)


def test_a_problem_in_one_file_of_a_folder_registers_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(HEAD + 'b = Blueprint("bad")\n')
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "good.py").write_text(HEAD + 'b = Blueprint("good")\n@b.start\ndef x(job): return job.done()\n')
    registry = Registry()
    with pytest.raises(BlueprintError) as caught:
        registry.load(tmp_path)
    assert {Path(problem.file).name for problem in caught.value.problems} == {"bad.py", "broken.py"}
    assert registry.names() == ()


ASK = """from muster import Escalate
from pydantic import BaseModel
NAMES = ["ada"]

class Form(BaseModel):
    n: int

b = Blueprint("a")
@b.start
def first(job):
    return job.ask("?", yes=then, {})
@b.state
def then(job, answer{}):
    return job.done()
"""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("approvers=['ada', 'bob'], quorum=3", "only 2 are ever asked"),
        ("approvers=[]", "lets nobody answer"),
        ("quorum=2", "needs approvers="),
        ("approvers=['ada', 'ada']", "named twice"),
        ("within='-2d'", "'-2d' is not a duration"),
        ("within=-5", "-5 is not a duration"),
        ("within='1h', escalate=Escalate(after='2h')", "not before the deadline"),
        ("escalate=[Escalate(after='2h'), Escalate(after='1h')]", "does not come after the step before it"),
        ("escalate=Escalate(after='1h', to=['bob'])", "anybody may answer already"),
        ("approvers=['ada'], quorum={'no': 1}", "no such choice"),
        ("approvers=['ada'], quorum=0", "1 or more"),
    ],
)
def test_a_question_that_can_never_be_decided_is_told_when_it_is_loaded(told: Told, words: str, message: str) -> None:
    text = told(ASK.format(words, ""))
    assert "line 12" in text
    assert message in text


@pytest.mark.parametrize(
    "words",
    ["approvers=NAMES, quorum=2", "approvers=['a', 'b'], quorum=2", "approvers=job.input, quorum=9", "form=Form"],
)
def test_what_only_running_tells_is_not_refused_when_it_is_loaded(tmp_path: Path, words: str) -> None:
    path = tmp_path / "shop.py"
    path.write_text(HEAD + ASK.format(words, ": Decision[Form]" if "form" in words else ": Decision"))
    Registry().load(path)


def test_a_state_that_takes_another_form_than_the_question_has_is_told(told: Told) -> None:
    assert "'then' takes muster.blueprint.answers.Decision[int]" in told(ASK.format("form=Form", ": Decision[int]"))
