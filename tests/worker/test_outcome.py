import asyncio
from typing import Any

import pytest
from muster_worker import Cancelled, Failed, Outcome, Permanent, Requeue, Retry, Worker, outcome, task
from pydantic import BaseModel


class Receipt(BaseModel):
    payment_id: str


contract = task("payments.charge", dict, Receipt)


def handler_that_raises(error: BaseException) -> None:
    raise error


def of_error(error: BaseException, stopped: outcome.StopReason | None = None) -> dict[str, Any]:
    with pytest.raises(type(error)):
        handler_that_raises(error)
    return outcome.of_exception(error, stopped, 30)


def test_a_return_value_is_success() -> None:
    returned = outcome.of_return(contract, Receipt(payment_id="p"))
    assert returned == {"status": "success", "data": {"payment_id": "p"}}


def test_a_dict_that_fits_the_model_is_as_good() -> None:
    assert outcome.of_return(contract, {"payment_id": "p"})["data"] == {"payment_id": "p"}


def test_a_result_of_another_type_is_permanent_and_says_what_was_wrong() -> None:
    report = outcome.of_return(contract, {"payment": "p"})
    assert report["error"]["code"] == "PERMANENT_ERROR"
    assert "the result of task 'payments.charge' is not Receipt" in report["error"]["message"]
    assert "payment_id" in report["error"]["message"]


def test_an_outcome_takes_another_transition_with_its_own_data() -> None:
    report = outcome.of_return(contract, Outcome("duplicate", {"receipt": Receipt(payment_id="p")}))
    assert report == {"status": "duplicate", "data": {"receipt": {"payment_id": "p"}}}


def test_retry_is_transient_and_may_say_when() -> None:
    assert of_error(Retry("busy", after="5s"))["error"] == {
        "code": "TRANSIENT_ERROR",
        "message": "busy",
        "retry_after_seconds": 5.0,
    }
    assert "retry_after_seconds" not in of_error(Retry("busy"))["error"]


def test_a_task_that_is_put_back_has_not_failed() -> None:
    assert of_error(Requeue("closed", after="1h")) == {
        "status": "requeue",
        "error": {"code": "", "message": "closed", "retry_after_seconds": 3600.0},
    }
    assert "retry_after_seconds" not in of_error(Requeue())["error"]


def test_exceptions_stand_for_codes_and_the_first_that_fits_counts() -> None:
    codes: dict[type[BaseException], str] = {ConnectionError: "DOWN", OSError: "DISK"}
    told = [outcome.of_exception(error, None, 30, codes)["error"] for error in (ConnectionResetError(), OSError())]
    assert [(error["code"], error["type"]) for error in told] == [("DOWN", "ConnectionResetError"), ("DISK", "OSError")]
    assert outcome.of_exception(ValueError("odd"), None, 30, codes)["error"]["code"] == "TRANSIENT_ERROR"
    assert outcome.of_exception(Retry("busy"), None, 30, {Exception: "X"})["error"]["code"] == "TRANSIENT_ERROR"


def test_a_timeout_has_the_code_that_its_lease_says() -> None:
    assert outcome.of_stop("timeout", 30, "SCHEDULE_TO_CLOSE_TIMEOUT")["error"]["code"] == "SCHEDULE_TO_CLOSE_TIMEOUT"


@pytest.mark.parametrize("errors", [{"ValueError": "X"}, {KeyboardInterrupt: "X"}, {ValueError: ""}, {ValueError: 7}])
def test_codes_of_what_is_no_exception_are_refused(errors: Any) -> None:
    with pytest.raises(TypeError, match="errors"):
        Worker().task("work", errors=errors)(lambda value: value)


def test_permanent_is_permanent() -> None:
    assert of_error(Permanent("declined"))["error"] == {"code": "PERMANENT_ERROR", "message": "declined"}


def test_a_failure_may_have_a_code_of_its_own_and_data() -> None:
    assert of_error(Failed("status 7", code="COMMAND_FAILED", data={"receipt": Receipt(payment_id="p")})) == {
        "status": "failure",
        "error": {"code": "COMMAND_FAILED", "message": "status 7"},
        "data": {"receipt": {"payment_id": "p"}},
    }
    assert "data" not in of_error(Failed("no", code="MINE"))


def test_any_other_error_is_transient_with_type_text_and_traceback() -> None:
    message = of_error(KeyError("sku"))["error"]["message"]
    assert message.startswith("KeyError: 'sku'")
    assert "Traceback" in message
    assert "in handler_that_raises" in message


def test_a_message_is_bounded_and_keeps_the_end_of_the_traceback() -> None:
    message = of_error(ValueError("ä" * 10_000))["error"]["message"]
    assert len(message.encode()) <= 4096
    assert message.startswith("ValueError: ä")


def test_a_text_that_json_cannot_carry_is_made_to_fit() -> None:
    assert of_error(Permanent("\ud800"))["error"]["message"] == "?"


@pytest.mark.parametrize("error", [Cancelled(), asyncio.CancelledError()])
def test_being_stopped_is_reported_as_the_reason_says(error: BaseException) -> None:
    assert of_error(error, "command") == {"status": "cancelled"}
    assert of_error(error, "timeout")["error"]["code"] == "TIMEOUT_ERROR"
    assert of_error(error, "shutdown")["error"]["code"] == "TRANSIENT_ERROR"


def test_a_handler_that_cancels_itself_has_failed() -> None:
    assert of_error(asyncio.CancelledError())["error"]["code"] == "TRANSIENT_ERROR"


def test_an_error_of_its_own_counts_even_while_being_cancelled() -> None:
    assert of_error(Permanent("declined"), "command")["error"]["code"] == "PERMANENT_ERROR"
