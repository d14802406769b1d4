"""The arithmetic of lending, against a model that remembers every single unit; and the script against the arithmetic."""

import asyncio
from collections import defaultdict
from itertools import count

import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.limits import granting
from gateway.limits.pools import RATE_SHARE_S, RATE_WINDOW_S, SLOT_LEASE_S
from gateway.limits.redis import SCRIPT

WORKERS = ("wrk_a", "wrk_b", "wrk_c")
calm = settings(
    derandomize=True, deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

steps = st.lists(
    st.tuples(
        st.sampled_from(["draw", "draw", "draw", "back", "renew"]),
        st.sampled_from(WORKERS),
        st.integers(0, 30),
        st.sampled_from([0.0, 0.013, 0.2, 0.7, 5.0, 29.0, 61.0]),
    ),
    max_size=60,
)


@calm
@given(steps, st.integers(0, 200))
def test_a_sliding_minute_never_holds_more_than_its_size(history, size):
    """The model: every unit with the time it was taken; what is given back is given back from then."""
    grants, taken, now = [], [], 1_000_000.0
    for action, worker, amount, pause in history:
        now = round(now + pause, 3)
        if action == "draw":
            drawn = granting.draw_rate(grants, worker, amount, size, now)
            assert drawn.granted == 0 or drawn.granted >= amount
            assert drawn.granted == 0 or drawn.granted % amount == 0
            if amount and not drawn.granted:
                assert sum(n for at, n in taken if at > now - RATE_WINDOW_S - RATE_SHARE_S - 0.11) + amount > size
            taken.append([now, drawn.granted])
        elif action == "back" and taken and taken[-1][1]:
            part = min(amount, taken[-1][1])
            granting.give_back_rate(grants, [(now - taken[-1][0], part)], now)
            taken[-1][1] -= part
        for at, _ in taken:
            assert sum(n for when, n in taken if at <= when < at + RATE_WINDOW_S) <= size


@calm
@given(steps, st.integers(0, 60))
def test_slots_are_never_lent_twice(history, size):
    """The model: what each worker was granted and did not return, while its lease lasts."""
    grants, held, until, now = [], defaultdict(int), defaultdict(float), 1_000_000.0
    for action, worker, amount, pause in history:
        now = round(now + pause, 3)
        for other in WORKERS:
            if until[other] <= now:
                held[other] = 0
        if action == "draw":
            drawn = granting.draw_slots(grants, worker, amount, size, now)
            if drawn.granted:
                held[worker] += drawn.granted
                until[worker] = now + SLOT_LEASE_S
            elif amount:
                assert sum(held.values()) + amount > size
            assert drawn.have == held[worker]
        elif action == "back":
            part = min(amount, held[worker])
            granting.give_back_slots(grants, worker, part)
            held[worker] -= part
        elif held[worker]:
            assert granting.renew_slots(grants, worker, held[worker], held[worker], now) == held[worker]
            until[worker] = now + SLOT_LEASE_S
        assert sum(held.values()) == sum(int(entry[1]) for entry in grants if float(entry[0]) > now)
        assert sum(held.values()) <= size


numbers = count()


@calm
@given(steps, st.integers(0, 200), st.sampled_from(["requests", "slots"]))
def test_the_script_says_what_the_arithmetic_says(valkey_url, history, size, kind):
    client = redis.Redis.from_url(valkey_url)
    script = client.register_script(SCRIPT)
    key, grants, now = f"test:{{{next(numbers)}}}", [], 1_000_000.0
    for action, worker, amount, pause in history:
        now = round(now + pause, 3)
        back = [(0.5, amount), (0.1, 1)] if action != "renew" and kind == "requests" else []
        if action == "renew" and kind == "requests":
            continue
        words = ",".join(f"{age:.3f}:{part}" for age, part in back)
        answer = script([key], [action, kind, worker, amount, size, amount // 2, words, f"{now:.3f}"])
        if action == "draw" and kind == "slots":
            said = granting.draw_slots(grants, worker, amount, size, now)
        elif action == "draw":
            said = granting.draw_rate(grants, worker, amount, size, now, back)
        elif action == "renew":
            assert answer[4] == granting.renew_slots(grants, worker, amount, amount // 2, now)
            said = None
        else:
            if kind == "slots":
                granting.give_back_slots(grants, worker, amount)
            else:
                granting.give_back_rate(grants, back, now)
            said = None
        if said is not None:
            assert answer[:3] == [said.granted, said.left, said.lent]
            assert abs(answer[3] / 1000 - said.retry_after_s) <= 0.0011
            assert answer[4] == said.have
        kept = [line.decode().split("|") for line in client.lrange(key, 0, -1)]
        alive = now if kind == "slots" else now - RATE_WINDOW_S - RATE_SHARE_S
        mine = [entry for entry in grants if float(entry[0]) > alive]
        assert [(int(n), who) for _, n, _, who in kept] == [(entry[1], entry[2]) for entry in mine]
    client.delete(key)
    client.close()


def test_near_the_limit_shares_are_single_calls():
    assert granting.grant(10, 9, 0) == 0
    assert granting.grant(10, 10, 0) == 10
    assert granting.grant(10, 89, 0) == 10
    assert granting.grant(10, 90, 0) == 20
    assert granting.grant(10, 1_000_000, 0) == 10 * (1 + granting.MOST_CALLS)
    assert granting.grant(10, 890, 9) == 20


def test_a_share_is_whole_calls_when_a_part_of_one_is_at_hand():
    """Money is left over in odd pieces, for calls cost less than they may. A hundredth of a call that is missing must not make shares of
    a hundredth of a call."""
    assert granting.grant(1, 1_000_000, 0, call=100) == 1 + 100 * granting.MOST_CALLS
    assert granting.grant(1, 801, 0, call=100) == 101
    assert granting.grant(1, 800, 0, call=100) == 1
    assert granting.grant(1, 0, 0, call=100) == 0


def test_the_workers_that_draw_share_what_is_left():
    """Thirty workers that take turns get all of a limit, and the first not much more than the last."""
    grants, got = [], defaultdict(int)
    for turn in range(10_000):
        drawn = granting.draw_rate(grants, f"wrk_{turn % 30}", 1, 5_000, 1_000_000.0)
        got[turn % 30] += drawn.granted
        if not drawn.granted:
            break
    assert sum(got.values()) == 5_000
    assert max(got.values()) < 3 * min(got.values())


async def test_the_script_is_loaded_again_when_the_server_forgot_it(valkey_url):
    from gateway.limits.pools import Draw, Pool
    from gateway.limits.redis import RedisCoordinator
    from gateway.secret import Secret

    coordinator = RedisCoordinator(Secret(valkey_url), "wrk_a")
    pool = Pool("requests", "org", "lim_forgotten", "", 10, "org", "minute")
    client = redis.Redis.from_url(valkey_url)
    for _ in range(2):
        await asyncio.to_thread(client.script_flush)
        assert (await coordinator.draw([Draw(pool, 2)]))[0].granted == 2
    client.close()
    await coordinator.close()
