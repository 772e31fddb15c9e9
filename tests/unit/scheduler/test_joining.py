"""Tokens, revocations and copies, as rules: one step at a time, and what a new leader reads of them."""

from typing import Any

import pytest
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control import retention
from shoal_scheduler.control.context import Limits
from shoal_scheduler.control.joining import ALARM_OVER_MILLIS, ALARM_PERIOD_MILLIS, COPIES_MAX, KEPT_MILLIS, USES_MAX
from shoal_scheduler.model.refusal import Refused

from tests.unit.scheduler.plane import Plane, instance

HASH, OTHER = "aa" * 32, "ab" + "cd" * 31


def create(**more: Any) -> i.CreateJoinToken:
    fields = {"cluster": "default", "hash": HASH, "role": "agent", "ttl_seconds": 60, "uses": 1, "created_by": "alice"}
    return i.CreateJoinToken(**{**fields, **more})


def use(key: str = "k1", became: str = "x1", **more: Any) -> i.UseJoinToken:
    return i.UseJoinToken(**{"hash": HASH, "role": "agent", "key": key, "instance": became, **more})


@pytest.fixture
async def plane() -> Plane:
    made = Plane()
    await made.prepare()
    return made


async def test_a_token_makes_an_instance(plane: Plane) -> None:
    token = await plane.one(create())
    assert (token.id, token.uses_left, token.expires_at) == (HASH[:12], 1, plane.now + 60_000)
    assert await plane.one(use()) == i.Joined("default", "x1")
    assert (await plane.reloaded()).join_tokens[HASH].used_by == {"k1": "x1"}


async def test_a_token_is_used_as_often_as_it_says(plane: Plane) -> None:
    await plane.one(create(uses=2))
    await plane.run([use("k1", "x1"), use("k2", "x2")])
    with pytest.raises(Refused, match="used as often") as refused:
        await plane.one(use("k3", "x3"))
    assert refused.value.kind == "denied"


async def test_of_two_uses_in_one_step_one_is_first(plane: Plane) -> None:
    await plane.one(create())
    first, second = await plane.run([use("k1", "x1"), use("k2", "x2")])
    assert first == i.Joined("default", "x1")
    assert isinstance(second, Refused)


async def test_who_did_not_hear_the_answer_asks_again_with_its_key(plane: Plane) -> None:
    await plane.one(create())
    await plane.one(use("k1", "x1"))
    assert await plane.one(use("k1", "x9")) == i.Joined("default", "x1")
    assert plane.tables.join_tokens[HASH].uses_left == 0


async def test_nobody_asks_again_for_a_revoked_identity(plane: Plane) -> None:
    await plane.one(create())
    await plane.one(use("k1", "x1"))
    await plane.one(i.RevokeInstance("default", "x1", "alice"))
    with pytest.raises(Refused, match="was revoked"):
        await plane.one(use("k1", "x9"))


@pytest.mark.parametrize(
    ("request_", "later_millis", "said"),
    [
        (use(hash=OTHER), 0, "not known"),
        (use(role="operator"), 0, "for another role"),
        (use(), 60_000, "expired"),
    ],
    ids=["unknown", "wrong role", "expired"],
)
async def test_a_use_that_is_refused_takes_nothing(
    plane: Plane, request_: i.UseJoinToken, later_millis: int, said: str
) -> None:
    await plane.one(create())
    plane.now += later_millis
    with pytest.raises(Refused, match=said):
        await plane.one(request_)
    assert plane.tables.join_tokens[HASH].used_by == {}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"role": "operator"}, "role"),
        ({"ttl_seconds": 0}, "ttlSeconds"),
        ({"ttl_seconds": 3601}, "ttlSeconds"),
        ({"uses": 0}, "uses"),
        ({"uses": USES_MAX + 1}, "uses"),
    ],
)
async def test_a_token_that_may_not_be(plane: Plane, wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as refused:
        await plane.one(create(**wrong))
    assert [problem.field for problem in refused.value.problems] == [field]
    assert plane.tables.join_tokens == {}


async def test_a_revoked_token_is_gone_and_who_joined_stays(plane: Plane) -> None:
    await plane.one(create(uses=2))
    await plane.one(use("k1", "x1"))
    assert (await plane.one(i.RevokeJoinToken("default", HASH[:6]))).hash == HASH
    with pytest.raises(Refused, match="not known"):
        await plane.one(use("k2", "x2"))
    assert (await plane.reloaded()).join_tokens == {}
    assert not plane.tables.instances


async def test_a_token_lives_and_ends_within_a_step(plane: Plane) -> None:
    joined = (await plane.run([create(), use(), i.RevokeJoinToken("default", HASH)]))[1]
    assert joined == i.Joined("default", "x1")
    assert plane.tables.join_tokens == {} == (await plane.reloaded()).join_tokens
    await plane.one(create())
    await plane.run([use(), i.RevokeJoinToken("default", HASH)])
    assert plane.tables.join_tokens == {} == (await plane.reloaded()).join_tokens


async def test_a_token_is_over_and_revoked_in_the_same_step(plane: Plane) -> None:
    await plane.one(create())
    plane.now += 60_000 + KEPT_MILLIS
    due = retention.expired(plane.tables, plane.context)
    (refused,) = await plane.run([i.RevokeJoinToken("default", HASH)], due=due)
    assert isinstance(refused, Refused)
    assert plane.tables.join_tokens == {} == (await plane.reloaded()).join_tokens


@pytest.mark.parametrize("name", ["", "ff", "a"], ids=["nothing", "none", "several"])
async def test_a_token_is_named_without_doubt(plane: Plane, name: str) -> None:
    await plane.run([create(), create(hash=OTHER)])
    with pytest.raises(Refused):
        await plane.one(i.RevokeJoinToken("default", name))
    assert len(plane.tables.join_tokens) == 2


async def test_a_token_that_is_over_stays_listed_for_a_day(plane: Plane) -> None:
    await plane.one(create())
    plane.now += 60_000 + KEPT_MILLIS - 1
    assert retention.expired(plane.tables, plane.context) == []
    plane.now += 1
    await plane.run([], due=retention.expired(plane.tables, plane.context))
    assert plane.tables.join_tokens == (await plane.reloaded()).join_tokens == {}


async def test_the_longest_life_is_a_limit() -> None:
    plane = Plane(limits=Limits(join_token_seconds_max=10))
    await plane.prepare()
    with pytest.raises(Refused, match="from 1 to 10"):
        await plane.one(create(ttl_seconds=11))


async def test_a_revoked_instance_has_no_session_and_gets_none(plane: Plane) -> None:
    await plane.prepare(instance("x", incarnation=5))
    revoked = await plane.one(i.RevokeInstance("default", "x", "alice"))
    assert (revoked.revoked_by, revoked.revoked_at) == ("alice", plane.now)
    assert plane.tables.sessions == {}
    plane.tables = await plane.reloaded()
    with pytest.raises(Refused, match="was revoked") as refused:
        await plane.one(instance("x", incarnation=6))
    assert refused.value.kind == "denied"


async def test_revoking_twice_is_revoking_once(plane: Plane) -> None:
    await plane.prepare(instance("x"))
    first = await plane.one(i.RevokeInstance("default", "x", "alice"))
    plane.now += 1000
    assert await plane.one(i.RevokeInstance("default", "x", "bob")) == first


async def test_one_that_never_came_is_revoked_too(plane: Plane) -> None:
    await plane.one(i.RevokeInstance("default", "x", "alice"))
    with pytest.raises(Refused, match="was revoked"):
        await plane.one(instance("x", incarnation=6))
    assert plane.tables.instances_of("default") == []


async def test_a_copy_stays_out_while_it_runs_whoever_leads(plane: Plane) -> None:
    await plane.prepare(instance("x", incarnation=5, run="0a"))
    seen = await plane.one(i.CopySeen("x", "0b", "elsewhere"))
    assert (seen.copies, seen.copy_host, seen.copy_seen_at) == (("0b",), "elsewhere", plane.now)
    plane.tables = await plane.reloaded()
    with pytest.raises(Refused, match="seen at the same time"):
        await plane.one(instance("x", incarnation=9, run="0b"))
    await plane.one(instance("x", incarnation=5, run="0a"))
    assert plane.tables.sessions == {"x": 5}


async def test_a_copy_that_comes_again_and_again_is_written_once_a_minute(plane: Plane) -> None:
    await plane.prepare(instance("x", incarnation=5, run="0a"))
    first = await plane.one(i.CopySeen("x", "0b", "elsewhere"))
    assert await plane.one(i.CopySeen("x", "0b", "elsewhere")) == first
    plane.now += ALARM_PERIOD_MILLIS
    assert (await plane.one(i.CopySeen("x", "0b", "elsewhere"))).copy_seen_at == plane.now


async def test_a_copy_that_has_not_come_for_an_hour_is_told_of_no_more_and_stays_out(plane: Plane) -> None:
    await plane.prepare(instance("x", incarnation=5, run="0a"))
    await plane.one(i.CopySeen("x", "0b", "elsewhere"))
    for later_millis, told in ((0, True), (ALARM_OVER_MILLIS, True), (1, False)):
        plane.now += later_millis
        await plane.one(i.SessionClosed("x", 5))
        back = await plane.one(instance("x", incarnation=5, run="0a"))
        assert (bool(back.copy_seen_at), bool(back.copy_host)) == (told, told)
    with pytest.raises(Refused, match="seen at the same time"):
        await plane.one(instance("x", incarnation=9, run="0b"))


async def test_only_so_many_copies_are_remembered(plane: Plane) -> None:
    await plane.prepare(instance("x", incarnation=5, run="0a"))
    for number in range(COPIES_MAX + 2):
        await plane.one(i.CopySeen("x", f"{number:02x}", "elsewhere"))
    assert plane.tables.instances["x"].copies == tuple(f"{number:02x}" for number in range(2, COPIES_MAX + 2))


async def test_a_copy_of_nobody_is_nothing(plane: Plane) -> None:
    assert await plane.one(i.CopySeen("x", "0b", "elsewhere")) is None


async def test_a_hundred_hosts_at_once_and_ten_uses(plane: Plane) -> None:
    await plane.one(create(uses=10))
    replies = await plane.run([use(f"k{number}", f"x{number}") for number in range(100)])
    assert [isinstance(reply, i.Joined) for reply in replies] == [True] * 10 + [False] * 90
