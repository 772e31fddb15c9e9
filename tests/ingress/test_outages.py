"""What goes on when a part of the load balancer, or the scheduler, is away."""

import asyncio
import os
import signal
import socket
from typing import Any

import dnslib
import pytest
from shoal.supervisor import processes
from shoal.supervisor.layout import Layout
from shoal.v1 import traffic_pb2 as pb

from tests.ground.network import free_port
from tests.ground.waiting import wait_until
from tests.ingress.conftest import Balancer
from tests.ingress.routes import routes, rule, target
from tests.ingress.targets import Load, webs
from tests.ingress.test_balancing import answers, targets_of, until_answered


async def test_the_ingress_is_killed_while_the_scheduler_is_away_and_nobody_notices(balancer: Balancer) -> None:
    async with webs("a", "b") as servers:
        await balancer.routing.say(routes([rule("all", balancer.port)], targets_of(*servers)))
        await until_answered(balancer.port)
        await balancer.until_served("a", "b")
        async with Load(f"http://127.0.0.1:{balancer.port}/").running() as load:
            await balancer.routing.stop()
            balancer.restart_ingress()
            await wait_until(lambda: "cannot be followed" in balancer.ingress.log.read_text())
            before = len(balancer.routing.reports)
            await balancer.routing.start()
            await wait_until(lambda: len(balancer.routing.reports) > before)
            # Nobody who was healthy is told of as if it were new.
            states = [each.health.state for report in balancer.routing.reports[before:] for each in report.targets]
            assert set(states) == {"healthy"}
            more = load.answers["a"] + 50
            await wait_until(lambda: load.answers["a"] > more)
        assert not load.failures


async def test_a_traefik_that_is_killed_comes_back_with_its_routes(balancer: Balancer) -> None:
    async with webs("a") as (server,):
        await balancer.routing.say(routes([rule("all", balancer.port)], targets_of(server)))
        await until_answered(balancer.port)
        place = Layout(balancer.folders.root).processes
        os.kill(processes.load(place)[f"port-{balancer.port}"].pid, signal.SIGKILL)
        await until_answered(balancer.port)


async def test_the_proxies_that_are_killed_leave_nothing_and_come_back(balancer: Balancer) -> None:
    async with webs("a") as (server,):
        await balancer.routing.say(routes([rule("all", balancer.port)], targets_of(server)))
        await until_answered(balancer.port)
        place = Layout(balancer.folders.root).processes
        before = processes.load(place)[f"port-{balancer.port}"]
        balancer.proxies.kill()
        await wait_until(lambda: not before.is_alive)
        balancer.start_proxies()
        await until_answered(balancer.port)


async def test_what_proxies_are_at_when_they_are_told_to_stop_is_finished(balancer: Balancer) -> None:
    async with webs("slow", delay=1.0) as (server,):
        await balancer.routing.say(routes([rule("all", balancer.port)], targets_of(server)))
        await balancer.until_served("slow")
        await until_answered(balancer.port, count=1)
        asked = server.asked
        under_way = asyncio.create_task(answers(balancer.port))
        await wait_until(lambda: server.asked > asked)
        await asyncio.to_thread(balancer.proxies.stop)
        assert await under_way == ["slow"]


async def test_a_port_that_another_program_has_keeps_no_other_from_being_served(balancer: Balancer) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        other = taken.getsockname()[1]
        async with webs("a") as (server,):
            rules = [rule("good", balancer.port), rule("bad", other)]
            await balancer.routing.say(routes(rules, targets_of(server)))
            await until_answered(balancer.port)

            def problems() -> dict[str, str]:
                last = balancer.routing.reports[-1]
                return {each.rule: each.problem for each in last.problems}

            found = await wait_until(problems, timeout_seconds=30)
            assert set(found) == {"bad"}
            assert found["bad"] == f"another program listens at port {other}"


async def test_a_port_without_rules_is_closed_and_others_go_on(balancer: Balancer) -> None:
    other = free_port()
    async with webs("a") as (server,):
        rules = [rule("one", balancer.port), rule("two", other)]
        await balancer.routing.say(routes(rules, targets_of(server)))
        await until_answered(balancer.port)
        await until_answered(other)
        async with Load(f"http://127.0.0.1:{balancer.port}/").running() as load:
            await balancer.routing.say(routes(rules[:1], targets_of(server)))

            def is_closed() -> bool:
                with socket.socket() as probe:
                    return probe.connect_ex(("127.0.0.1", other)) != 0

            await wait_until(is_closed)
        assert not load.failures
        assert await answers(balancer.port) == ["a"]


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_names_are_answered(balancer: Balancer, tcp: bool) -> None:
    endpoints = [
        pb.DiscoveredEndpoint(task_id=f"{number:032x}", host=f"10.0.0.{number}", port=8000 + number)
        for number in (1, 2)
    ]
    names = [pb.DiscoveredName(name="web.default.shoal.internal", endpoints=endpoints)]
    await balancer.routing.say(routes([], names=names))

    def ask(kind: str) -> list[str]:
        question = dnslib.DNSRecord.question("web.default.shoal.internal", kind)
        answer = dnslib.DNSRecord.parse(question.send("127.0.0.1", balancer.dns_port, tcp=tcp, timeout=2))
        return sorted(str(each.rdata) for each in answer.rr)

    look: Any = lambda: ask("A")  # noqa: E731
    assert await wait_until(look) == ["10.0.0.1", "10.0.0.2"]
    assert ask("SRV") == [
        f"1 1 8001 {1:032x}.web.default.shoal.internal.",
        f"1 1 8002 {2:032x}.web.default.shoal.internal.",
    ]


async def test_routes_of_targets_that_nobody_checks_any_more_are_gone(balancer: Balancer) -> None:
    async with webs("a") as (server,):
        await balancer.routing.say(routes([rule("all", balancer.port)], [target("a", server.port)]))
        await until_answered(balancer.port)
        await balancer.until_served("a")
        await balancer.routing.say(routes([rule("all", balancer.port)]))
        await wait_until(lambda: not balancer.routing.states())
