"""When a target rests, by a clock that the test turns."""

import pytest

from gateway.catalog import Model, Provider, ProviderId, Target, Timeouts
from gateway.health import COUNTED, FIRST_REST_S, LONGEST_REST_S, Health
from gateway.providers.provider import Failure
from gateway.records import NOT_TRIED

TARGET = Target(Model("m", Provider(ProviderId("p"), "p", "openai", "http://x"), "m", "chat"), Timeouts())
OTHER = Target(Model("n", TARGET.provider, "n", "chat"), Timeouts())
BROKEN = Failure("status", "HTTP 500", 500)


def fail(health: Health, times: int, now: float = 0.0, failure: Failure = BROKEN) -> None:
    for _ in range(times):
        assert health.enter(TARGET, now) is None
        health.leave(TARGET, failure, 1.0, now)


def test_five_failures_in_a_row_open_the_circuit_of_that_target_alone():
    health = Health()
    fail(health, 4)
    assert health.enter(TARGET, 0.0) is None
    health.leave(TARGET, BROKEN, 1.0, 0.0)
    resting = health.enter(TARGET, 0.5)
    assert resting is not None
    assert (resting.kind, resting.code) == ("resting", None)
    assert resting.retry_after_s == pytest.approx(0.5)
    assert health.enter(OTHER, 0.5) is None


def test_a_success_between_starts_the_row_anew():
    health = Health()
    fail(health, 4)
    assert health.enter(TARGET, 0.0) is None
    health.leave(TARGET, None, 1.0, 0.0)
    fail(health, 4)
    assert health.enter(TARGET, 0.0) is None


def test_half_of_the_last_twenty_opens_it_too():
    health = Health()
    now, outcomes = 0.0, [None, BROKEN] * 10
    for failure in outcomes:
        assert health.enter(TARGET, now) is None
        health.leave(TARGET, failure, 1.0, now)
    assert health.enter(TARGET, now) is not None


def test_one_probe_at_a_time_and_the_rest_doubles_to_thirty_seconds():
    health = Health()
    fail(health, 5)
    now, rest = 0.0, FIRST_REST_S
    for _ in range(7):
        assert health.enter(TARGET, now + rest - 0.01) is not None
        now += rest
        assert health.enter(TARGET, now) is None, "the probe"
        assert health.enter(TARGET, now) is not None, "nobody beside the probe"
        health.leave(TARGET, BROKEN, 1.0, now)
        rest = min(LONGEST_REST_S, rest * 2)
    assert rest == LONGEST_REST_S == 30.0
    now += rest
    assert health.enter(TARGET, now) is None
    health.leave(TARGET, None, 1.0, now)
    assert health.enter(TARGET, now) is None, "a probe that goes well closes it"
    assert health.enter(TARGET, now) is None


def test_a_probe_whose_client_leaves_makes_room_for_the_next():
    health = Health()
    fail(health, 5)
    assert health.enter(TARGET, 1.0) is None
    health.abandon(TARGET)
    assert health.enter(TARGET, 1.0) is None


def test_a_wait_that_the_provider_asks_for_is_kept_and_never_shortened():
    health = Health()
    fail(health, 1, 0.0, Failure("rate_limited", retry_after_s=10.0))
    resting = health.enter(TARGET, 4.0)
    assert resting is not None
    assert (resting.code, resting.retry_after_s) == ("rate_limited", 6.0)
    assert health.enter(TARGET, 10.0) is None
    health.leave(TARGET, Failure("rate_limited", retry_after_s=10.0), 1.0, 10.0)
    health.leave(TARGET, Failure("rate_limited", retry_after_s=1.0), 1.0, 11.0)  # a call that was under way
    assert health.enter(TARGET, 15.0) is not None, "a later, shorter wait does not shorten the one that holds"


@pytest.mark.parametrize(
    "kind", ["refused", "rate_limited", "credentials", "unsupported", "unconfigured", "overloaded"]
)
def test_what_says_nothing_about_the_targets_health_is_not_counted(kind):
    assert kind not in COUNTED
    health = Health()
    for number in range(30):
        assert health.enter(TARGET, number * 5.0) is None
        health.leave(TARGET, Failure(kind, retry_after_s=1.0), 1.0, number * 5.0)
    assert not NOT_TRIED & COUNTED


def test_an_operator_can_close_it():
    health = Health()
    fail(health, 5)
    health.close("p")
    assert health.enter(TARGET, 0.0) is None
    [report] = health.report(0.0)
    assert (report["state"], report["rests_s"]) == ("closed", 0.0)
