"""Values that are quick to make are the same values."""

from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster.core.values import changed, quick


@dataclass(frozen=True, slots=True)
class Plain:
    number: int
    words: tuple[str, ...] = ()
    more: dict[str, int] = field(default_factory=dict[str, int])
    note: str | None = field(default=None, compare=False)


@quick
@dataclass(frozen=True, slots=True)
class Quick:
    number: int
    words: tuple[str, ...] = ()
    more: dict[str, int] = field(default_factory=dict[str, int])
    note: str | None = field(default=None, compare=False)


MEMBERS = st.fixed_dictionaries(
    {"number": st.integers()},
    optional={
        "words": st.lists(st.text()).map(tuple),
        "more": st.dictionaries(st.text(), st.integers()),
        "note": st.none() | st.text(),
    },
)


def shown(value: Plain | Quick) -> tuple[object, ...]:
    return value.number, value.words, value.more, value.note


@given(MEMBERS, MEMBERS)
def test_they_are_made_and_changed_as_any_dataclass(members: dict[str, object], changes: dict[str, object]) -> None:
    plain, quick_one = Plain(**members), Quick(**members)  # type: ignore[arg-type]
    assert shown(plain) == shown(quick_one)
    assert shown(replace(plain, **changes)) == shown(changed(quick_one, **changes))  # type: ignore[arg-type]
    assert shown(plain) == shown(quick_one), "the first is as it was"


def test_they_stay_frozen_and_each_has_its_own_default() -> None:
    one, other = Quick(1), Quick(2)
    for frozen in (one, changed(one, number=2)):
        with pytest.raises(FrozenInstanceError):
            frozen.number = 3  # type: ignore[misc]
        assert type(frozen) is Quick
    one.more["a"] = 1
    assert other.more == {}
    assert Quick(1, note="a") == Quick(1, note="b")


@pytest.mark.parametrize("wrong", [{}, {"number": 1, "other": 2}])
def test_a_wrong_member_is_refused_by_its_name(wrong: dict[str, int]) -> None:
    with pytest.raises(TypeError, match=r"number|other"):
        Quick(**wrong)  # type: ignore[arg-type]


def test_a_change_of_what_is_no_member_is_refused() -> None:
    with pytest.raises(AttributeError, match="other"):
        changed(Quick(1), other=2)
