"""`shoal autoscaling`, on a scheduler of its own."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from shoal import context
from shoal_scheduler.control.autoscaling.inputs import EvaluateScaling
from shoal_scheduler.control.autoscaling.votes import Datapoint, Readings

from tests.fakes.scheduler import Scheduler
from tests.fakes.web_service import make_web_service
from tests.ground.certificates import Certificates
from tests.unit.cli.conftest import Shoal

STEPS = {
    "PolicyName": "steps",
    "ServiceNamespace": "ecs",
    "ResourceId": "service/default/web",
    "ScalableDimension": "ecs:service:DesiredCount",
    "PolicyType": "StepScaling",
    "StepScalingPolicyConfiguration": {
        "AdjustmentType": "ChangeInCapacity",
        "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 2}],
        "Cooldown": 60,
    },
}


class Led:
    """A scheduler with a service of two tasks. Its loop has a thread of its own, as commands have loops of theirs."""

    def __init__(self, scheduler: Scheduler, loop: asyncio.AbstractEventLoop) -> None:
        self.scheduler, self._loop = scheduler, loop

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def evaluate(self, policy: str, value: float, count: int) -> None:
        readings = Readings({policy: (Datapoint(value, count),) * 2})
        self.run(self.scheduler.plane.engine.submit(EvaluateScaling("default", "web", readings)))


@contextmanager
def running(certificates: Certificates) -> Iterator[Led]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    led = Led(Scheduler(certificates), loop)
    try:
        led.run(led.scheduler.__aenter__())
        led.run(make_web_service(led.scheduler))
        yield led
    finally:
        led.run(led.scheduler.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def led(shoal: Shoal, certificates: Certificates) -> Iterator[Led]:
    operator = certificates.files("operator", "alice")
    with running(certificates) as made:
        here = context.Context(
            "here", (made.scheduler.address,), "default", certificates.authority, operator.certificate, operator.key
        )
        context.save(context.load().with_context(here))
        yield made


@pytest.fixture
def scaling(led: Led, shoal: Shoal) -> Shoal:
    """`shoal autoscaling` of a cluster whose service is a scalable target."""

    def run(*words: Any, text: str = "") -> Any:
        return shoal("autoscaling", *words, text=text)

    assert run("target", "put", "web", "--min", 1, "--max", 10).out == "web\n"
    return run


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()]


def test_targets(scaling: Shoal) -> None:
    assert scaling("target", "put", "web", "--max", 20, "--suspend", "in").code == 0
    assert rows(scaling("target", "ls").out)[1:] == [["web", "1", "20", "in"]]
    assert scaling("target", "put", "web", "--resume", "in").code == 0
    assert rows(scaling("target", "ls", "web").out)[1:] == [["web", "1", "20", "-"]]
    (document,) = json.loads(scaling("target", "ls", "-o", "json").out)["ScalableTargets"]
    assert (document["ResourceId"], document["MaxCapacity"]) == ("service/default/web", 20)
    assert scaling("target", "put", "-f", "-", text=json.dumps({**document, "MinCapacity": 3})).out == "web\n"
    assert rows(scaling("target", "ls").out)[1:] == [["web", "3", "20", "-"]]
    assert scaling("target", "rm", "web").out == "web\n"
    assert "No service is scaled." in scaling("target", "ls").err


def test_policies(scaling: Shoal) -> None:
    assert scaling("policy", "put", "web", "a", "--cpu", 60, "--out-cooldown", "1m").out.startswith("arn:")
    assert scaling("policy", "put", "web", "b", "--requests", 600, "--no-scale-in").code == 0
    pushed = ("--metric", "Mine/Waiting", "--dimension", "Queue=x", "--target", 5, "--period", "10s")
    assert scaling("policy", "put", "web", "c", *pushed).code == 0
    query = ("--prometheus", "https://p.example.org", "--query", "sum(up)", "--target", 2)
    assert scaling("policy", "put", "web", "d", *query).code == 0
    assert scaling("policy", "put", "-f", "-", text=json.dumps(STEPS)).code == 0
    table = scaling("policy", "ls", "web").out
    assert [line[1:3] for line in rows(table)[1:]] == [
        ["a", "tracking"],
        ["b", "tracking"],
        ["c", "tracking"],
        ["d", "tracking"],
        ["steps", "steps"],
    ]
    for words in ("cpu at 60", "requests at 600", "Average of Mine/Waiting at 5", "sum(up) at 2", "never in"):
        assert words in table
    assert "no alarm names it" in table
    described = json.loads(scaling("policy", "ls", "-o", "json").out)["ScalingPolicies"]
    again = {**described[0], "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 70}}
    again["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"] = {
        "PredefinedMetricType": "ECSServiceAverageMemoryUtilization"
    }
    assert scaling("policy", "put", "-f", "-", text=json.dumps(again)).code == 0
    assert "memory at 70" in scaling("policy", "ls").out
    assert scaling("policy", "rm", "web", "a", "b", "c", "d").out.split() == ["a", "b", "c", "d"]
    assert len(rows(scaling("policy", "ls").out)) == 2


def test_an_alarm_drives_a_step_policy(scaling: Shoal, shoal: Shoal) -> None:
    arn = scaling("policy", "put", "-f", "-", text=json.dumps(STEPS)).out.strip()
    assert shoal("alarm", "put", "busy", "--metric", "CPUUtilization", "--threshold", 60, "--scale", arn).code == 0
    assert "alarms: busy" in scaling("policy", "ls").out


def test_scheduled_actions(scaling: Shoal) -> None:
    put = ("schedule", "put", "web", "morning", "--schedule", "cron(0 8 * * ? *)", "--timezone", "Europe/Vienna")
    assert scaling(*put, "--min", 4, "--end", "2999-01-01T00:00:00Z").out == "morning\n"
    assert scaling("schedule", "put", "web", "morning", "--min", 5, "--max", 9).code == 0
    (row,) = rows(scaling("schedule", "ls").out)[1:]
    assert row[:2] + row[8:11] == ["web", "morning", "Europe/Vienna", "5", "9"]
    (document,) = json.loads(scaling("schedule", "ls", "web", "-o", "json").out)["ScheduledActions"]
    assert document["EndTime"] == 32472144000.0
    text = json.dumps({**document, "ScheduledActionName": "other"})
    assert scaling("schedule", "put", "-f", "-", text=text).out == "other\n"
    assert scaling("schedule", "rm", "web", "morning", "other").out.split() == ["morning", "other"]
    assert "No scheduled actions." in scaling("schedule", "ls").err


def test_activities(scaling: Shoal, led: Led) -> None:
    assert "Nothing was scaled yet." in scaling("activities").err
    assert scaling("policy", "put", "web", "cpu", "--cpu", 50).code == 0
    led.evaluate("cpu", 500.0, 2)
    led.evaluate("cpu", 90.0, 10)
    shown = scaling("activities", "web").out
    assert "Setting desired count to 10." in shown
    assert "policy cpu: datapoints [500, 500] are above the target of 50" in " ".join(shown.split())
    assert "AlreadyAtMaxCapacity" not in shown
    assert "AlreadyAtMaxCapacity" in scaling("activities", "web", "--all").out
    (activity,) = json.loads(scaling("activities", "-o", "json").out)["ScalingActivities"]
    assert activity["StatusCode"] == "Successful"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("target", "put"), 2, "Name the service"),
        (("target", "put", "web", "--suspend", "in", "--resume", "in"), 2, "cannot be suspended and resumed"),
        (("target", "put", "web", "--min", "11"), 1, "MaxCapacity"),
        (("target", "rm", "nobody"), 3, "no scalable target"),
        (("policy", "put", "web", "x"), 2, "one of --cpu"),
        (("policy", "put", "web", "x", "--cpu", "1", "--memory", "1"), 2, "one of --cpu"),
        (("policy", "put", "web", "x", "--metric", "Mine/Load"), 2, "--metric goes with --target"),
        (("policy", "put", "web", "x", "--metric", "Load", "--target", "1"), 2, "NAMESPACE/NAME"),
        (("policy", "rm", "web", "x"), 3, "no policy"),
        (("schedule", "put", "web", "x", "--schedule", "daily", "--min", "1"), 1, "Schedule"),
        (("schedule", "put", "web", "x", "--start", "soon"), 2, "--start soon is no time"),
        (("schedule", "rm", "web", "x"), 3, "no scheduled action"),
    ],
)
def test_what_goes_wrong_is_told(scaling: Shoal, words: tuple[str, ...], code: int, says: str) -> None:
    found = scaling(*words)
    assert (found.code, says in found.err) == (code, True), found.err


def test_a_file_that_is_not_there(scaling: Shoal, tmp_path: Path) -> None:
    assert scaling("policy", "put", "-f", tmp_path / "none.json").code != 0
