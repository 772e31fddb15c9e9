"""`shoal rebalance`: the plan, the question, what is under way, and its end; on a scheduler of its own."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from shoal import context
from shoal_scheduler.model.rebalance import Rebalance

from tests.fakes.scheduler import Scheduler
from tests.ground.certificates import Certificates
from tests.populated import CLUSTER, Populated
from tests.unit.cli.conftest import Result, Shoal
from tests.unit.cli.served import Served, served

A, B, C = ("1a" * 16, "2b" * 16, "3c" * 16)


@dataclass(frozen=True)
class Cluster:
    shoal: Shoal
    served: Served

    def __call__(self, *words: str, text: str = "") -> Result:
        return self.shoal("rebalance", *words, text=text)


@pytest.fixture
def cluster(shoal: Shoal, certificates: Certificates) -> Iterator[Cluster]:
    """`web` with four tasks on two instances, and a third one that is empty."""
    operator = certificates.files("operator", "alice")
    with served(certificates) as here:
        made = context.Context(
            "here", (here.address,), CLUSTER, certificates.authority, operator.certificate, operator.key
        )
        context.save(context.load().with_context(made))
        here.call(lambda scheduler: populate(Populated(scheduler.plane.tables)))
        yield Cluster(shoal, here)


def populate(made: Populated) -> None:
    for name, zone in ((A, "z1"), (B, "z1"), (C, "z2")):
        made.instance(name, zone)
    made.service("web", desired_count=4)
    for name in (A, A, B, B):
        made.task("web", name)


def test_the_plan_changes_nothing(cluster: Cluster) -> None:
    shown = cluster("--plan")
    assert shown.code == 0
    lines = [line.split(maxsplit=4) for line in shown.out.splitlines()]
    assert lines[0] == ["TASK", "SERVICE", "FROM", "TO", "WHY"]
    assert [line[1:4] for line in lines[1:3]] == [["web", "1a1a1a1a", "3c3c3c3c"], ["web", "2b2b2b2b", "3c3c3c3c"]]
    assert lines[1][4] == "4 tasks of it where ecs.availability-zone is z1, 0 where it is z2"
    effects = [line for line in shown.out.splitlines() if line.startswith(("1a1a", "2b2b", "3c3c"))]
    assert effects == [
        "1a1a1a1a   1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a   z1     2 -> 1   12 % -> 6 %   12 % -> 6 %",
        "2b2b2b2b   2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b   z1     2 -> 1   12 % -> 6 %   12 % -> 6 %",
        "3c3c3c3c   3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c   z2     0 -> 2   0 % -> 12 %   0 % -> 12 %",
    ]
    assert cluster("status").err == "No rebalance yet.\n"


def test_the_plan_as_a_document(cluster: Cluster) -> None:
    found = json.loads(cluster("--plan", "--max-moves", "1", "-o", "json").out)
    (move,) = found["moves"]
    assert (move["serviceName"], move["status"]) == ("web", "PLANNED")
    assert len(found["effects"]) == 2


def test_nobody_to_ask_is_no_yes(cluster: Cluster) -> None:
    refused = cluster()
    assert refused.code == 2
    assert "add --yes to begin, or --plan to see" in refused.err
    assert cluster("status").err == "No rebalance yet.\n"


def test_on_a_terminal_it_asks(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.cli.rebalance.is_terminal", lambda: True)
    asked = cluster(text="n\n")
    assert asked.code == 130
    assert "Move 2 tasks? [y/N]" in asked.err
    assert cluster("status").err == "No rebalance yet.\n"
    assert cluster(text="y\n").code == 0
    assert "IN_PROGRESS: 0 of 2 tasks." in cluster("status").err


def test_started_shown_and_stopped(cluster: Cluster) -> None:
    started = cluster("--yes", "--parallel", "1", "-o", "name").out.strip()
    shown = json.loads(cluster("status", "-o", "json").out)["rebalances"]
    assert [(each["rebalanceId"], each["createdBy"], each["maxParallel"]) for each in shown] == [(started, "alice", 1)]
    assert cluster("stop", "--reason", "enough").out.strip() == started
    lines = cluster("status", started).out.splitlines()
    assert [line.split()[2] for line in lines[1:]] == ["GIVEN_UP", "GIVEN_UP"]
    assert all(line.endswith("enough") for line in lines[1:])
    assert cluster("stop").code == 3


def test_waiting_says_what_moves(cluster: Cluster) -> None:
    with cluster.served.beside(let_go):
        done = cluster("--yes", "--wait")
    assert done.code == 0, done
    told = [line.split() for line in done.out.splitlines() if "MOVED" in line]
    assert [words[1:] for words in told] == [["web", "MOVED", "from", each] for each in ("1a1a1a1a", "2b2b2b2b")]


async def let_go(scheduler: Scheduler) -> None:
    """Tasks that leave are over soon."""
    made = Populated(scheduler.plane.tables)
    while True:
        for move in [move for each in made.tables.records.all(Rebalance) for move in each.moves]:
            made.end(made.task_of(move))
        await asyncio.sleep(0.05)


def test_waiting_no_longer_than_that(cluster: Cluster) -> None:
    late = cluster("--yes", "--wait", "--timeout", "1s")
    assert late.code == 5
    assert "After 1s 2 tasks are still to move; it goes on." in late.err


def test_while_one_is_in_progress_the_plan_says_so(cluster: Cluster) -> None:
    started = cluster("--yes", "-o", "name").out.strip()
    assert f"Rebalance {started} is in progress." in cluster("--plan").err


def test_what_stays_says_why(cluster: Cluster) -> None:
    cluster.served.call(
        lambda scheduler: Populated(scheduler.plane.tables).service("idle", deployment_status="PENDING")
    )
    shown = cluster("--plan", "--empty", A, "--empty", B[:4], "--max-moves", "3")
    assert "stays: no more than 3 tasks move at a time." in shown.err


def test_wrong_usage(cluster: Cluster) -> None:
    assert cluster("--zones", "--consolidate").code == 2
    assert cluster("--timeout", "5s").code == 2
    assert cluster("--plan", "--empty", "77").code == 3
    assert cluster("--plan", "--service", "nope").code == 1
    assert cluster("--plan", "--max-moves", "0").code == 1
    assert cluster("status", "nope").code == 3
