from muster_worker.backoff import Backoff


def test_delays_double_up_to_the_longest() -> None:
    backoff = Backoff(0.1, 1.0, uniform=lambda low, high: high)
    assert [round(backoff.next_delay_s(), 3) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_a_success_starts_over() -> None:
    backoff = Backoff(0.1, 1.0, uniform=lambda low, high: high)
    backoff.next_delay_s()
    backoff.next_delay_s()
    backoff.reset()
    assert backoff.next_delay_s() == 0.1


def test_the_whole_range_is_used_so_that_a_fleet_spreads_out() -> None:
    backoff = Backoff(1.0, 1.0)
    delays = [backoff.next_delay_s() for _ in range(500)]
    assert 0 <= min(delays) < 0.1
    assert 0.9 < max(delays) <= 1.0


def test_it_is_never_sooner_than_the_server_asked_for() -> None:
    backoff = Backoff(0.1, 1.0)
    assert all(backoff.next_delay_s(3) >= 3 for _ in range(50))


def test_many_failures_do_not_overflow() -> None:
    backoff = Backoff()
    assert all(backoff.next_delay_s() <= 10 for _ in range(2000))
