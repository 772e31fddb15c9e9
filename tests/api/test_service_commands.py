"""`shoal service …`, `shoal deploy` and `shoal apply` against the running server, with a simulated agent."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from shoal import context
from shoal.cli.app import execute
from shoal.cli.deployment_follow import DEPLOYMENT_TIMED_OUT

from tests.api.services import WEB, Services
from tests.fakes.agent import SimulatedAgent, never_starts
from tests.fakes.scheduler import Scheduler

Answer = tuple[int, str, str]
Shoal = Callable[..., Awaitable[Answer]]


@pytest.fixture
def shoal(scheduler: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shoal:
    """Exit code, output and errors of a command line, run beside the server."""
    monkeypatch.setenv("SHOAL_CONFIG", str(tmp_path / "contexts.json"))
    monkeypatch.delenv("SHOAL_CONTEXT", raising=False)
    files = scheduler.certificates.files("operator", "alice")
    authority = scheduler.certificates.authority
    chosen = context.Context("test", (scheduler.address,), "default", authority, files.certificate, files.key)
    context.save(context.load().with_context(chosen))

    def run(arguments: tuple[str, ...], text: str) -> Answer:
        with CliRunner().isolation(input=text) as streams:
            code = execute(arguments)
            return code, streams[0].getvalue().decode(), streams[1].getvalue().decode()

    async def call(*arguments: str, text: str = "") -> Answer:
        async with asyncio.timeout(60):
            return await asyncio.to_thread(run, arguments, text)

    return call


@pytest.fixture
async def services(scheduler: Scheduler, agent: SimulatedAgent) -> Services:
    made = Services(scheduler)
    await made.register()
    return made


async def test_a_service_from_options(shoal: Shoal, services: Services) -> None:
    code, out, err = await shoal(
        *("service", "create", "web", "--task-definition", "web", "--count", "2", "--failures"),
        *("3", "--min-healthy", "50", "--max", "150", "--grace", "90s", "--discovery", "web:app:80", "--tag", "a=b"),
        *("--strategy", "spread:attribute:ecs.availability-zone", "--constraint", "distinctInstance"),
    )
    assert (code, out) == (0, "web\n"), err
    found = await services.describe(include=["TAGS"])
    configuration = found["deploymentConfiguration"]
    assert configuration["deploymentCircuitBreaker"]["thresholdConfiguration"] == {"type": "COUNT", "value": 3}
    assert configuration["deploymentCircuitBreaker"]["rollback"] is True
    assert (configuration["minimumHealthyPercent"], configuration["maximumPercent"]) == (50, 150)
    assert (found["healthCheckGracePeriodSeconds"], found["tags"]) == (90, [{"key": "a", "value": "b"}])
    code, out, _ = await shoal("service", "describe", "web")
    assert code == 0
    assert "rolls back after 3 tasks failed" in out
    code, described, _ = await shoal("describe", "arn:shoal:ecs:local:000000000000:service/default/web")
    assert code == 0
    assert described.splitlines()[:2] == out.splitlines()[:2]
    code, out, _ = await shoal("service", "ls")
    assert out.splitlines()[1].split()[:3] == ["web", "ACTIVE", "web:1"]
    code, out, _ = await shoal("service", "describe", "web", "-o", "json")
    assert json.loads(out)["services"][0]["serviceName"] == "web"


@pytest.mark.parametrize(("options", "is_on"), [((), True), (("--no-circuit-breaker",), False)])
async def test_who_says_nothing_of_it_gets_the_circuit_breaker(
    shoal: Shoal, services: Services, options: tuple[str, ...], is_on: bool
) -> None:
    code, _, err = await shoal("service", "create", "web", "--task-definition", "web", "--count", "0", *options)
    assert code == 0, err
    breaker = (await services.describe())["deploymentConfiguration"]["deploymentCircuitBreaker"]
    assert (breaker.get("enable", False), breaker.get("rollback", False)) == (is_on, is_on)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create",), "Name the service, or give a file"),
        (("create", "web", "--target-group", "web"), "is not GROUP:CONTAINER:PORT"),
        (("update", "web", "--failures", "3"), "goes with --circuit-breaker"),
        (("update", "web", "--no-rollback"), "goes with --circuit-breaker or --alarm"),
        (("update", "web", "--constraint", "near"), "neither distinctInstance nor memberOf"),
        (("scale", "web", "many"), "no whole number"),
    ],
)
async def test_wrong_options(shoal: Shoal, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = await shoal("service", *arguments)
    assert code == 2
    assert said in err


async def test_a_service_is_tagged_by_its_name(shoal: Shoal, services: Services) -> None:
    await services.create(serviceName="shop", desiredCount=0)
    code, _, err = await shoal("tag", "shop", "floor=2")
    assert code == 0, err
    assert (await services.describe("shop", include=["TAGS"]))["tags"] == [{"key": "floor", "value": "2"}]


async def test_what_is_not_there_is_said_with_what_to_do(shoal: Shoal, services: Services) -> None:
    for arguments in (("describe", "nobody"), ("update", "nobody", "--count", "1"), ("wait", "nobody")):
        code, _, err = await shoal("service", *arguments)
        assert code == 3
        assert "shoal service ls" in err
    code, _, err = await shoal("deploy", "nobody", "--image", "web:1")
    assert code == 3
    code, out, _ = await shoal("service", "ls")
    assert (code, out) == (0, "")


async def test_it_is_scaled_and_deleted(shoal: Shoal, services: Services, agent: SimulatedAgent) -> None:
    await services.create()
    code, out, err = await shoal("service", "scale", "web", "3", "--timeout", "40s")
    assert (code, out) == (0, "web: 3\n"), err
    await services.until(lambda it: it["runningCount"] == 3)
    code, out, _ = await shoal("ps", "--service", "web", "-o", "name")
    assert len(out.split()) == 3
    code, _, err = await shoal("service", "delete", "web")
    assert code == 1
    assert "still wants 3 tasks" in err
    code, out, err = await shoal("service", "delete", "web", "--force", "--wait")
    assert (code, out) == (0, "web\n"), err
    assert (await services.describe())["status"] == "INACTIVE"
    assert set(agent.tasks.values()) == {"STOPPED"}
    code, _, err = await shoal("service", "wait", "web")
    assert code == 1
    assert "it was deleted" in err


async def test_tasks_are_protected(shoal: Shoal, services: Services) -> None:
    await services.create(desiredCount=1)
    await services.until(lambda it: it["runningCount"] == 1)
    _, out, _ = await shoal("ps", "--service", "web", "-o", "name")
    task = out.strip()
    code, out, err = await shoal("service", "protect", task, "--for", "5m")
    assert code == 0, err
    assert "protected until" in out
    code, out, _ = await shoal("service", "protect", task, "--off")
    assert "not protected" in out
    code, _, err = await shoal("service", "protect", "0" * 32)
    assert code == 1
    assert "there is no such task" in err
    code, _, _ = await shoal("service", "protect", task, "--for", "5m", "--off")
    assert code == 2


async def test_what_happens_is_shown(shoal: Shoal, services: Services) -> None:
    await services.create(desiredCount=1)
    await services.until(lambda it: it["runningCount"] == 1)
    for command in (("service", "events", "web"), ("events",)):
        code, out, err = await shoal(*command)
        assert code == 0, err
        assert "(service web) has started 1 tasks" in out
    code, out, _ = await shoal("service", "events", "web", "-n", "1", "-o", "json")
    assert "has started" in json.loads(out)["message"]


async def test_an_image_is_deployed(shoal: Shoal, services: Services) -> None:
    await services.create(desiredCount=0)
    image = "registry.example.com/web:2"
    code, out, err = await shoal("deploy", "web", "--image", image, "--no-wait")
    assert code == 0, err
    assert "web: web:1 -> web:2" in out
    # The same again registers nothing and deploys nothing.
    code, out, err = await shoal("deploy", "web", "--image", image, "--no-wait")
    assert code == 0, err
    found = await services.describe()
    assert found["taskDefinition"].endswith("/web:2")
    assert len(await services.deployments()) == 2
    code, out, err = await shoal("deploy", "web", "--image", "side=proxy:1", "--no-wait", "--count", "0")
    assert "web:2 -> web:3" in out, err
    code, out, err = await shoal("deploy", "web", "--force", "--no-wait")
    assert "web:3 -> web:3" in out, err
    code, out, err = await shoal("deploy", "web", "--task-definition", "web:1", "--no-wait")
    assert "web:3 -> web:1" in out, err


@pytest.mark.parametrize(
    ("image", "code", "said"),
    [
        ("other:1", 1, "no container runs other"),
        ("none=web:1", 3, "has no container 'none'; it has app, side"),
        ("app=", 1, "names no image"),
    ],
)
async def test_whose_image_it_is_has_to_be_clear(
    shoal: Shoal, services: Services, image: str, code: int, said: str
) -> None:
    await services.create(desiredCount=0)
    found, _, err = await shoal("deploy", "web", "--image", image)
    assert found == code
    assert said in err
    assert len(await services.deployments()) == 1


async def test_a_deployment_that_is_not_over_in_time_goes_on(
    shoal: Shoal, services: Services, agent: SimulatedAgent
) -> None:
    await services.create(desiredCount=1)
    await services.until(lambda it: it["runningCount"] == 1)
    agent.life = never_starts
    image = "registry.example.com/web:2"
    code, _, err = await shoal("deploy", "web", "--image", image, "--timeout", "1s")
    assert code == DEPLOYMENT_TIMED_OUT
    assert "web: not over within 1s; it goes on" in err
    assert "new web:2: 0 of 1 run" in err
    assert (await services.deployments())[0]["status"] in ("PENDING", "IN_PROGRESS")


async def test_a_deployment_that_its_percents_hold_up_says_so(shoal: Shoal, services: Services) -> None:
    await services.create(desiredCount=1, deploymentConfiguration={"minimumHealthyPercent": 100, "maximumPercent": 120})
    await services.until(lambda it: it["runningCount"] == 1)
    code, _, err = await shoal("deploy", "web", "--force", "--timeout", "2s")
    assert code == DEPLOYMENT_TIMED_OUT
    why = "was unable to stop or start tasks during a deployment because of the service deployment configuration"
    assert err.count(why) == 2, "as it happens, and at the end"


async def test_a_deployment_that_ends_otherwise_is_told_with_its_reason(
    shoal: Shoal, services: Services, agent: SimulatedAgent
) -> None:
    await services.create(desiredCount=1)
    agent.life = never_starts
    image = "registry.example.com/web:2"
    call = asyncio.ensure_future(shoal("deploy", "web", "--image", image))
    await services.until(lambda it: it["taskDefinition"].endswith("/web:2"))
    await services.update(forceNewDeployment=True)
    code, _, err = await call
    assert code == 1
    assert "STOPPED" in err
    assert "A newer deployment of the service took its place" in err


async def test_it_goes_back_to_what_ran_before(shoal: Shoal, services: Services) -> None:
    await services.create(desiredCount=0)
    await services.until(lambda it: it["deployments"][0]["rolloutState"] == "COMPLETED")
    code, _, err = await shoal("service", "rollback", "web")
    assert code == 1
    assert "ran nothing else before" in err
    await services.register()
    await services.update(taskDefinition="web")
    await services.until(lambda it: it["deployments"][0]["rolloutState"] == "COMPLETED")
    code, _, err = await shoal("deploy", "web", "--force")
    assert code == 0, err
    code, out, err = await shoal("service", "rollback", "web")
    assert code == 0, err
    assert "web: back to web:1" in out, "what --force started anew is no other thing to go back to"
    code, out, _ = await shoal("service", "deployments", "web")
    rows = [line.split()[:3] for line in out.splitlines()[1:]]
    assert [row[1] for row in rows] == ["SUCCESSFUL"] * 4
    assert [row[2] for row in rows] == ["web:1", "web:2", "web:2", "web:1"]
    code, out, err = await shoal("service", "rollback", "web", "--to", rows[1][0], "--no-wait")
    assert "back to web:2" in out, err


class File:
    """A service in a file, which changes as a test says."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "web.json"
        self.document: dict[str, Any] = {
            "serviceName": "web",
            "taskDefinition": "web",
            "desiredCount": 0,
            "deploymentConfiguration": {"minimumHealthyPercent": 50},
            "placementStrategy": [{"type": "spread", "field": "attribute:ecs.availability-zone"}],
            "tags": [{"key": "team", "value": "blue"}, {"key": "floor", "value": "2"}],
        }
        self.put()

    def put(self, **fields: Any) -> None:
        self.document |= fields
        self.path.write_text(json.dumps(self.document))


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path)


async def test_a_file_is_applied_once(shoal: Shoal, services: Services, scheduler: Scheduler, file: File) -> None:
    before = scheduler.stored()
    code, out, err = await shoal("apply", "-f", str(file.path), "--plan")
    assert code == 0, err
    assert "web (cluster default): is created" in out
    assert "+ taskDefinition: web" in out
    assert scheduler.stored() == before
    code, _, err = await shoal("apply", "-f", str(file.path))
    assert code == 0, err
    await services.until(lambda it: it["deployments"][0]["rolloutState"] == "COMPLETED")
    before = scheduler.stored()
    code, out, err = await shoal("apply", "-f", str(file.path))
    assert (code, out) == (0, "web (cluster default): stays as it is\n"), err
    assert scheduler.stored() == before


async def test_only_what_differs_is_changed(shoal: Shoal, services: Services, file: File) -> None:
    await shoal("apply", "-f", str(file.path))
    file.put(
        deploymentConfiguration={"minimumHealthyPercent": 60, "maximumPercent": 200},
        placementStrategy=[],
        tags=[{"key": "team", "value": "red"}],
    )
    code, out, err = await shoal("apply", "-f", str(file.path))
    assert code == 0, err
    assert sorted(line.strip() for line in out.splitlines()[1:]) == [
        '- placementStrategy: [{"type": "spread", "field": "attribute:ecs.availability-zone"}]',
        "- tags.floor: 2",
        "~ deploymentConfiguration.minimumHealthyPercent: 50 -> 60",
        "~ tags.team: blue -> red",
    ]
    assert out.splitlines()[0] == "web (cluster default): changes"
    found = await services.describe(include=["TAGS"])
    assert found["deploymentConfiguration"]["minimumHealthyPercent"] == 60
    assert "placementStrategy" not in found
    assert found["tags"] == [{"key": "team", "value": "red"}]
    assert len(await services.deployments()) == 1
    await services.register()
    code, out, _ = await shoal("apply", "-f", str(file.path))
    assert "changes, and a deployment begins" in out
    assert "~ taskDefinition: web:1 -> web:2" in out
    assert len(await services.deployments()) == 2


async def test_what_a_describe_printed_is_applied(shoal: Shoal, services: Services, file: File) -> None:
    await services.create(desiredCount=0)
    _, out, _ = await shoal("service", "describe", "web", "-o", "json")
    file.path.write_text(out)
    code, out, err = await shoal("apply", "-f", str(file.path), "--strict")
    assert (code, out) == (0, "web (cluster default): stays as it is\n"), err
    document = await services.describe()
    document["taskDefinition"] = "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:1"
    code, out, err = await shoal("apply", "-f", "-", text=json.dumps([document]))
    assert (code, out) == (0, "web (cluster default): stays as it is\n"), err


async def test_what_cannot_be_changed_stops_the_whole_file(shoal: Shoal, services: Services, file: File) -> None:
    await services.create(desiredCount=0)
    file.document.pop("desiredCount")
    file.put(schedulingStrategy="DAEMON", placementStrategy=[])
    code, _, err = await shoal("apply", "-f", str(file.path))
    assert code == 1
    assert "schedulingStrategy cannot be changed" in err
    assert "shoal service delete web" in err
    for text, said in (("{}", "serviceName is required"), ('{"services": []}', "holds no service")):
        code, _, err = await shoal("apply", "-f", "-", text=text)
        assert code == 1
        assert said in err
    code, _, err = await shoal("apply", "-f", "-", "--strict", text='{"serviceName": "x", "desired": 1}')
    assert code == 1
    assert "did you mean" in err


async def test_a_definition_comes_from_a_file(shoal: Shoal, services: Services, tmp_path: Path) -> None:
    await services.create(desiredCount=0)
    path = tmp_path / "web.json"
    path.write_text(json.dumps(WEB))
    code, out, err = await shoal("deploy", "web", "--task-definition", str(path), "--no-wait")
    assert code == 0, err
    path.write_text(json.dumps({**WEB, "networkMode": "host"}))
    code, out, err = await shoal("deploy", "web", "--task-definition", str(path), "--no-wait")
    assert "web:1 -> web:2" in out, err
