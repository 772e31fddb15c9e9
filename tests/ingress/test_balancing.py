"""What clients of the real load balancer see: real servers, real Traefik, and a scheduler that says what is routed."""

import time
from typing import Any

import aiohttp
from shoal.v1 import traffic_pb2 as pb

from tests.ground.waiting import wait_until
from tests.ingress.conftest import Balancer
from tests.ingress.routes import group, routes, rule, target
from tests.ingress.targets import Load, Web, mute, silent, webs

BODY = b"x" * 2000


async def answers(port: int, host: str = "web.example", path: str = "/", count: int = 1) -> list[str]:
    """The first word of each."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        found = []
        for _ in range(count):
            async with session.get(f"http://127.0.0.1:{port}{path}", headers={"Host": host}) as answer:
                assert answer.status == 200, await answer.text()
                found.append((await answer.text()).split()[0])
        return found


async def until_answered(port: int, by: set[str] | None = None, count: int = 6) -> None:
    """By all of these and nobody else; by anybody, if none are named."""

    async def look() -> bool:
        found = set(await answers(port, count=count))
        return found == by or by is None

    there: Any = look
    await wait_until(there)


def targets_of(*servers: Web, group_name: str = "web") -> list[pb.RoutedTarget]:
    return [target(each.name, each.port, group_name) for each in servers]


async def test_tasks_are_replaced_under_load_and_no_request_fails(balancer: Balancer) -> None:
    say = balancer.routing.say
    rules = [rule("all", balancer.port, hosts=["web.example"])]
    async with webs("a", "b") as (a, b), webs("c", delay=0.1) as (c,):
        await say(routes(rules, targets_of(a, b)))
        await until_answered(balancer.port)
        await balancer.until_served("a", "b")
        async with Load(f"http://127.0.0.1:{balancer.port}/", {"Host": "web.example"}, body=BODY).running() as load:
            await wait_until(lambda: load.answers["a"] and load.answers["b"])
            await say(routes(rules, targets_of(a, b, c)))  # new, then healthy, then the others are drained
            await wait_until(lambda: load.answers["c"])
            await say(routes(rules, targets_of(c)))
            await balancer.until_served("c")
            asked = -1
            while asked != (asked := a.asked + b.asked):  # until nothing comes to them any more
                before = load.answers["c"]
                await wait_until(lambda before=before: load.answers["c"] > before + 20)  # type: ignore[misc]
            await a.kill()
            await b.kill()
            before = load.answers["c"]
            await wait_until(lambda: load.answers["c"] > before + 20)
    assert not load.failures


async def test_one_that_is_killed_costs_only_what_it_was_at(balancer: Balancer) -> None:
    rules = [rule("all", balancer.port)]
    async with webs("a", "b", "c") as (a, b, c):
        await balancer.routing.say(routes(rules, targets_of(a, b, c)))
        await until_answered(balancer.port)
        await balancer.until_served("a", "b", "c")
        async with Load(f"http://127.0.0.1:{balancer.port}/", body=BODY).running(clients=2) as load:
            await wait_until(lambda: min(load.answers[each] for each in "abc") > 20)
            await a.kill()
            await wait_until(lambda: balancer.routing.states().get("a") == "unhealthy")
            before = load.answers["b"]
            await wait_until(lambda: load.answers["b"] > before + 50)
    assert len(load.failures) <= 4, load.failures  # one for each client


async def test_one_that_does_not_even_accept_connections_is_not_waited_for(balancer: Balancer) -> None:
    """As a host that is gone, before its checks have told."""
    async with webs("a") as (a,), silent() as port:
        groups = [group(health_check_port=str(a.port))]
        targets = [*targets_of(a), target("silent", port)]
        await balancer.routing.say(routes([rule("all", balancer.port)], targets, groups))
        await until_answered(balancer.port)
        await balancer.until_served("a", "silent")
        began = time.monotonic()
        assert await answers(balancer.port, count=4) == ["a"] * 4
        # Of four requests two are sent to the other one first.
        assert time.monotonic() - began < 4.0


async def test_who_fails_its_checks_gets_no_requests_until_it_is_well_again(balancer: Balancer) -> None:
    async with webs("a", "b") as (a, b):
        await balancer.routing.say(routes([rule("all", balancer.port)], targets_of(a, b)))
        await until_answered(balancer.port)
        await balancer.until_served("a", "b")
        a.status = 503
        await wait_until(lambda: balancer.routing.states().get("a") == "unhealthy")
        report = balancer.routing.reports[-1]
        (said,) = [each.health for each in report.targets if each.task_id == "a"]
        assert (said.reason, said.description) == (
            "Target.ResponseCodeMismatch",
            "Health checks failed with these codes: [503]",
        )
        await until_answered(balancer.port, {"b"})
        b.status = 503
        await wait_until(lambda: balancer.routing.states().get("b") == "unhealthy")
        await until_answered(balancer.port, {"a", "b"})
        a.status = 200
        await wait_until(lambda: balancer.routing.states().get("a") == "healthy")
        await until_answered(balancer.port, {"a"})


async def test_requests_are_told_apart_by_host_and_path(balancer: Balancer) -> None:
    groups = [group(name) for name in ("web", "api", "other")]
    rules = [
        rule("api", balancer.port, [("api", 1)], hosts=["web.example"], paths=["/api/*"], priority=10),
        rule("web", balancer.port, [("web", 1)], hosts=["web.example", "*.web.example"], priority=20),
        rule("rest", balancer.port, [("other", 1)], priority=30),
    ]
    async with webs("web", "api", "other") as servers:
        targets = [each for server in servers for each in targets_of(server, group_name=server.name)]
        await balancer.routing.say(routes(rules, targets, groups))
        await until_answered(balancer.port)
        assert await answers(balancer.port, path="/api/x") == ["api"]
        assert await answers(balancer.port, path="/apis") == ["web"]
        assert await answers(balancer.port, "WWW.web.example") == ["web"]
        assert await answers(balancer.port, "www.web.example.org") == ["other"]


async def test_weights_share_the_requests_out(balancer: Balancer) -> None:
    groups = [group("blue"), group("green"), group("none")]
    rules = [rule("all", balancer.port, [("blue", 3), ("green", 1), ("none", 0)])]
    async with webs("blue", "green", "none") as servers:
        targets = [each for server in servers for each in targets_of(server, group_name=server.name)]
        await balancer.routing.say(routes(rules, targets, groups))
        await until_answered(balancer.port)
        await balancer.until_served("blue", "green")
        found = await answers(balancer.port, count=40)
    assert (found.count("blue"), found.count("green")) == (30, 10)


async def test_a_client_stays_with_a_target_while_it_is_there(balancer: Balancer) -> None:
    sticky = pb.TargetGroupStickiness(enabled=True, duration_seconds=60)
    groups, rules = [group(stickiness=sticky)], [rule("all", balancer.port)]
    async with (
        webs("a", "b", "c") as servers,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
    ):

        async def ask() -> str:
            async with session.get(f"http://127.0.0.1:{balancer.port}/") as answer:
                assert answer.status == 200
                return (await answer.text()).split()[0]

        await balancer.routing.say(routes(rules, targets_of(*servers), groups))
        await until_answered(balancer.port)
        await balancer.until_served("a", "b", "c")
        first = await ask()
        assert {await ask() for _ in range(12)} == {first}
        left = [each for each in servers if each.name != first]
        await balancer.routing.say(routes(rules, targets_of(*left), groups))

        async def is_another() -> bool:
            return await ask() != first

        moved: Any = is_another
        await wait_until(moved)
        assert len({await ask() for _ in range(12)}) == 1


async def test_requests_are_counted_once_each(balancer: Balancer) -> None:
    async with webs("a", "b") as servers:
        await balancer.routing.say(routes([rule("all", balancer.port)], targets_of(*servers)))
        await until_answered(balancer.port)
        before = sum(each.asked for each in servers)
        await answers(balancer.port, count=20)
        assert sum(each.asked for each in servers) == before + 20

        def counted() -> int:
            return sum(count.requests for report in balancer.routing.reports for count in report.counts)

        # Those that came before there were targets were requests as well.
        await wait_until(counted, lambda count: count >= before + 20, timeout_seconds=30)


async def test_what_a_target_was_sent_is_not_sent_again(balancer: Balancer) -> None:
    async with mute() as (target_there, port), aiohttp.ClientSession() as session:
        await balancer.routing.say(routes([rule("all", balancer.port)], [target("a", port)]))
        await balancer.until_served("a")

        async def ask() -> int:
            async with session.post(f"http://127.0.0.1:{balancer.port}/", data=BODY) as answer:
                return answer.status

        is_routed: Any = ask
        await wait_until(is_routed, lambda status: status == 502)
        before = target_there.asked
        assert [await ask() for _ in range(5)] == [502] * 5
        assert target_there.asked == before + 5
