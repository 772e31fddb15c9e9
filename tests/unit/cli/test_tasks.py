import json
from typing import Any

import pytest
from shoal.v1 import log_pb2, resource_pb2, task_definition_pb2, task_pb2

from tests.fakes.cluster_service import INSTANCE_ID, ClusterService
from tests.unit.cli.conftest import Shoal

WEB = {"family": "web", "containerDefinitions": [{"name": "web", "image": "nginx", "memory": 64}]}


@pytest.fixture
def web(shoal: Shoal, cluster: ClusterService) -> ClusterService:
    assert shoal("register", "-", text=json.dumps(WEB)).out == "web:1\n"
    return cluster


def log(message: str, stream: str = "stdout", at: int = 1) -> log_pb2.LogEvent:
    return log_pb2.LogEvent(container="c", stream=stream, timestamp=at, message=message.encode())


def requests(cluster: ClusterService, kind: type[Any]) -> list[Any]:
    return [each for each in cluster.state.requests if isinstance(each, kind)]


def test_register_warns_of_unknown_fields_and_of_what_does_nothing_here(shoal: Shoal, cluster: ClusterService) -> None:
    cluster.state.warnings = [task_definition_pb2.Warning(field="cpu", message="is not needed here")]
    result = shoal("register", "-", text=json.dumps({**WEB, "colour": "red"}))
    assert result.code == 0
    assert result.out == "web:1\n"
    assert "Warning: colour: " in result.err
    assert "Warning: cpu: is not needed here" in result.err


def test_register_strict_refuses_unknown_fields_and_sends_nothing(shoal: Shoal, cluster: ClusterService) -> None:
    result = shoal("register", "-", "--strict", text=json.dumps({**WEB, "colour": "red"}))
    assert result.code == 1
    assert "colour: " in result.err
    assert cluster.state.definitions == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "nonsense", '{"family": 1}', '"text"'])
def test_register_refuses_what_is_no_definition(shoal: Shoal, cluster: ClusterService, text: str) -> None:
    result = shoal("register", "-", text=text)
    assert result.code == 1
    assert result.err.startswith("Error: ")
    assert cluster.state.definitions == {}


def test_what_the_cluster_refuses_is_shown_with_the_field(shoal: Shoal, cluster: ClusterService) -> None:
    result = shoal("register", "-", text='{"family": "web"}')
    assert result.code == 1
    assert "Error: containerDefinitions must not be empty. (ClientException)" in result.err
    assert "  containerDefinitions: is missing" in result.err


def test_a_described_definition_equals_its_file_and_registers_again(shoal: Shoal, web: ClusterService) -> None:
    described = shoal("describe", "web", "-o", "json").out
    definition = json.loads(described)["taskDefinition"]
    assert {key: definition[key] for key in WEB} == WEB
    assert shoal("register", "-", text=described).out == "web:2\n"


def test_run_of_a_family(shoal: Shoal, web: ClusterService) -> None:
    web.state.exits_with = None
    result = shoal(
        "run", "web", "--count", 3, "--strategy", "binpack:memory", "--strategy", "random",
        "--constraint", "memberOf(attribute:zone == a)", "--constraint", "distinctInstance", "--group", "g",
        "--started-by", "me", "--env", "COLOUR=red=blue", "--client-token", "t", "--tag", "team=a",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert len(result.out.splitlines()) == 4
    (request,) = requests(web, task_pb2.RunTaskRequest)
    assert (request.count, request.group, request.started_by, request.client_token) == (3, "g", "me", "t")
    assert [(each.type, each.field) for each in request.placement_strategy] == [("binpack", "memory"), ("random", "")]
    assert [(each.type, each.expression) for each in request.placement_constraints] == [
        ("memberOf", "attribute:zone == a"),
        ("distinctInstance", ""),
    ]
    assert [(each.key, each.value) for each in request.tags] == [("team", "a")]
    (override,) = request.overrides.container_overrides
    assert (override.name, override.environment[0].name, override.environment[0].value) == ("web", "COLOUR", "red=blue")


def test_tasks_may_be_entered_if_their_run_says_so(shoal: Shoal, web: ClusterService) -> None:
    shoal("run", "web", "--enable-execute-command")
    shoal("run", "web")
    first, second = requests(web, task_pb2.RunTaskRequest)
    assert first.enable_execute_command and not second.HasField("enable_execute_command")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-it", "a" * 32, "--", "sh"), "not a terminal: leave out -t"),
        (("a" * 32,), "COMMAND"),
        ((), "TASK"),
    ],
)
def test_exec_refuses_wrong_usage(shoal: Shoal, web: ClusterService, arguments: tuple[str, ...], said: str) -> None:
    result = shoal("exec", *arguments)
    assert result.code == 2 and said in " ".join(result.err.split())


def test_run_takes_a_client_token_of_its_own(shoal: Shoal, web: ClusterService) -> None:
    shoal("run", "web")
    assert requests(web, task_pb2.RunTaskRequest)[0].client_token


def test_run_of_a_request_file_with_options_over_it(shoal: Shoal, web: ClusterService) -> None:
    file = {"taskDefinition": "nothing", "count": 2, "startedBy": "file", "placementStrategy": [{"type": "random"}]}
    result = shoal("run", "web", "--cli-input-json", "-", "--count", 1, "-o", "name", text=json.dumps(file))
    assert result.code == 0, result.err
    assert len(result.out.split()) == 1
    (request,) = requests(web, task_pb2.RunTaskRequest)
    assert (request.task_definition, request.count, request.started_by) == ("web", 1, "file")
    assert [each.type for each in request.placement_strategy] == ["random"]


def test_run_names_every_id_of_a_large_answer(shoal: Shoal, web: ClusterService) -> None:
    web.state.exits_with = None
    result = shoal("run", "web", "--count", 250, "-o", "name")
    assert len(set(result.out.split())) == 250
    assert shoal("run", "web", "--count", 250).err == "... and 150 more. All ids: -o name\n"


def test_run_says_why_tasks_were_not_placed(shoal: Shoal, web: ClusterService) -> None:
    web.state.failures = [
        resource_pb2.Failure(
            arn=f"arn:shoal:ecs:local:000000000000:container-instance/default/{n}f", reason="RESOURCE:MEMORY"
        )
        for n in range(3)
    ]
    result = shoal("run", "web", "--count", 2)
    assert result.code == 1
    assert "0 of 2 tasks were placed" in result.err
    assert "  not enough memory: RESOURCE:MEMORY on 3 instances (0f, 1f, 2f)\n" in result.err
    assert "Try: the same with --dry-run, which says what would help; with --queue, to wait for room\n" in result.err


@pytest.mark.parametrize("code", [0, 7, 137])
def test_run_wait_exits_as_the_container_did(shoal: Shoal, web: ClusterService, code: int) -> None:
    web.state.exits_with = code
    result = shoal("run", "web", "--wait")
    assert result.code == code
    assert f"exit code {code}" in result.err


def test_run_of_an_image_shows_its_output_and_exits_with_its_code(shoal: Shoal, cluster: ClusterService) -> None:
    cluster.state.exits_with = 3
    cluster.state.logs = [log("out"), log("err", "stderr")]
    result = shoal("run", "team/busybox:1.2", "-m", "32m", "-e", "A=1", "-p", "8080:80", "--", "sh", "-c", "exit 3")
    assert result.code == 3
    assert result.out == "out\n"
    assert "err\n" in result.err
    (definition,) = cluster.state.definitions["run-busybox"]
    (container,) = definition.container_definitions
    assert (container.name, container.image, container.memory) == ("busybox", "team/busybox:1.2", 32)
    assert list(container.command) == ["sh", "-c", "exit 3"]
    assert (container.port_mappings[0].host_port, container.port_mappings[0].container_port) == (8080, 80)


def test_run_of_the_same_image_again_takes_the_same_definition(shoal: Shoal, cluster: ClusterService) -> None:
    for command in (("echo", "1"), ("echo", "1"), ("echo", "2")):
        assert shoal("run", "busybox", "-e", "A=1", "--", *command).code == 0
    assert len(cluster.state.definitions["run-busybox"]) == 2


def test_run_detached_prints_the_id_only(shoal: Shoal, cluster: ClusterService) -> None:
    cluster.state.exits_with = None
    result = shoal("run", "-d", "--name", "mine", "nginx:latest")
    assert result.code == 0
    assert result.out.split() == list(cluster.state.tasks)
    assert "mine" in cluster.state.definitions


def test_run_of_a_name_that_is_no_family_tells_how_to_run_it_as_an_image(shoal: Shoal, cluster: ClusterService) -> None:
    result = shoal("run", "nginx")
    assert result.code == 3
    assert "shoal run --image nginx" in result.err
    assert shoal("run", "--image", "nginx").code == 0


def test_run_of_a_revision_that_is_not_there_says_which_are(shoal: Shoal, web: ClusterService) -> None:
    result = shoal("run", "web:9")
    assert result.code == 3
    assert "Try: web has revisions up to 1: shoal definitions --family web; or, " in result.err
    assert "Try: shoal definitions; or, " in shoal("run", "nothing:9").err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("-m", 64), "-m is for images"), (("--", "echo", "hi"), "a command is for images")],
)
@pytest.mark.parametrize("name", ["web", "web:1"])
def test_run_of_a_family_never_becomes_an_image_of_its_name(
    shoal: Shoal, web: ClusterService, name: str, arguments: tuple[Any, ...], said: str
) -> None:
    result = shoal("run", name, *arguments)
    assert result.code == 2
    assert f"{name} is a task definition; {said}. Use --image to mean the image {name}." in result.err
    assert list(web.state.definitions) == ["web"]
    assert shoal("run", "--image", name, *arguments).code == 0


def test_run_of_an_image_under_its_own_name_can_be_repeated(shoal: Shoal, cluster: ClusterService) -> None:
    for _ in range(2):
        assert shoal("run", "nginx", "--name", "nginx", "-m", 64).code == 0
    assert len(cluster.state.definitions["nginx"]) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("web", "--constraint", "nonsense"),
        ("web", "--count", 0),
        ("web", "--count", 10_001),
        ("web", "--env", "NOEQUALS"),
        ("nginx", "-p", "eighty"),
        ("nginx", "-p", "70000:80"),
        ("nginx", "-m", "64k"),
        ("nginx", "--count", 2, "--", "true"),
    ],
)
def test_run_refuses_wrong_usage(shoal: Shoal, web: ClusterService, arguments: tuple[Any, ...]) -> None:
    result = shoal("run", *arguments)
    assert result.code == 2, result.err
    assert requests(web, task_pb2.RunTaskRequest) == []


def test_ps_lists_what_runs_and_with_a_what_has_stopped(shoal: Shoal, web: ClusterService) -> None:
    assert shoal("ps").err == "No tasks run. All of them: shoal ps -a\n"
    web.state.page_size = 2
    shoal("run", "web", "--count", 5, "--wait")
    web.state.exits_with = None
    shoal("run", "web")
    assert len(shoal("ps").out.splitlines()) == 2
    assert len(shoal("ps", "-a").out.splitlines()) == 7
    assert len(json.loads(shoal("ps", "-a", "-o", "json").out)["tasks"]) == 6
    assert len(shoal("ps", "-a", "-o", "name").out.split()) == 6
    assert "Essential container" in shoal("ps", "-a", "-o", "wide").out
    assert shoal("ps", "-a", "-o", "yaml").out.startswith("tasks:\n")


def test_ps_json_of_nothing_is_still_a_list(shoal: Shoal, cluster: ClusterService) -> None:
    assert json.loads(shoal("ps", "-o", "json").out) == {"tasks": []}


def test_stop_by_unique_prefix_and_by_short_form(shoal: Shoal, web: ClusterService) -> None:
    web.state.exits_with = None
    shoal("run", "web", "--count", 3)
    first, second, third = web.state.tasks
    ambiguous = shoal("stop", first[:6])
    assert ambiguous.code == 1
    assert "fits 3 tasks" in ambiguous.err
    assert shoal("stop", f"{first[:8]}-1", "--reason", "enough", "--wait").out == f"{second}\n"
    assert web.state.tasks[second].stopped_reason == "enough"
    assert shoal("stop", first, third).code == 0
    assert shoal("stop", "0123").code == 3
    assert shoal("stop", "0123").err.endswith("Try: shoal ps -a\n")
    for verb in ("stop", "wait"):
        assert shoal(verb, "web").err.endswith("Try: shoal ps -a; shoal ps --family web\n")


def test_wait_exits_as_the_first_task_that_failed(shoal: Shoal, web: ClusterService) -> None:
    web.state.exits_with = None
    shoal("run", "web", "--count", 2)
    first, second = web.state.tasks
    web.advance(first, "STOPPED", exit_code=0)
    web.advance(second, "STOPPED", exit_code=9)
    assert shoal("wait", first).code == 0
    assert shoal("wait", first, second).code == 9


def test_wait_for_a_task_without_an_exit_code_is_125(shoal: Shoal, web: ClusterService) -> None:
    web.state.exits_with = None
    shoal("run", "web")
    (task,) = web.state.tasks
    web.advance(task, "STOPPED", reason="CannotPullContainerError: no such image")
    result = shoal("wait", task, "-o", "wide")
    assert result.code == 125
    assert "CannotPullContainerError" in result.out
    assert shoal("wait", task, "--for", "running").code == 1


def test_wait_gives_up(shoal: Shoal, web: ClusterService) -> None:
    web.state.exits_with = None
    shoal("run", "web")
    result = shoal("wait", *web.state.tasks, "--timeout", "50ms")
    assert result.code == 5
    assert "Not STOPPED within 0.05 s." in result.err


def test_logs_go_each_to_its_stream(shoal: Shoal, web: ClusterService) -> None:
    shoal("run", "web", "--wait")
    (task,) = web.state.tasks
    web.state.logs = [log("one"), log("two", "stderr"), log("three", at=2)]
    result = shoal("logs", task[:5], "--tail", 10, "--since", "10m")
    (request,) = requests(web, log_pb2.ReadLogsRequest)
    assert (request.tail, request.follow) == (10, False)
    assert request.since > 1_600_000_000_000
    web.state.logs = [log("one", at=request.since + 10**6), log("two", "stderr", request.since + 10**6)]
    result = shoal("logs", "-f", "-t", task)
    assert result.out.endswith(" one\n")
    assert result.err.endswith(" two\n")


def test_logs_resume_after_a_break_without_a_gap_or_a_repetition(shoal: Shoal, web: ClusterService) -> None:
    shoal("run", "web", "--wait")
    web.state.logs = [log("a", at=1), log("b", at=1), log("c", at=1), log("d", at=2), log("e", at=3)]
    web.state.breaks = 3
    assert shoal("logs", "-f", *web.state.tasks).out.split() == ["a", "b", "c", "d", "e"]


def test_events(shoal: Shoal, web: ClusterService) -> None:
    shoal("run", "web", "--wait")
    lines = shoal("events").out.splitlines()
    assert [line.split()[3] for line in lines] == ["PENDING", "RUNNING", "STOPPED"]
    documents = [json.loads(line) for line in shoal("events", *web.state.tasks, "-o", "json", "-n", 2).out.splitlines()]
    assert [each["task"]["lastStatus"] for each in documents] == ["RUNNING", "STOPPED"]


def test_describe_finds_each_kind_of_thing(shoal: Shoal, web: ClusterService) -> None:
    shoal("run", "web", "--wait")
    (task,) = web.state.tasks
    assert f"Task {task[:8]}-0\n" in shoal("describe", task[:6]).out
    assert "Task definition web:1\n" in shoal("describe", "web").out
    assert f"Instance {INSTANCE_ID[:8]}\n" in shoal("describe", INSTANCE_ID[:7]).out
    assert "Cluster default\n" in shoal("describe", "default").out
    assert shoal("describe", "nothing").code == 3
    both = json.loads(shoal("describe", task, INSTANCE_ID[:7], "-o", "json").out)
    assert set(both) == {"tasks", "containerInstances"}


def test_ps_says_what_becomes_of_tasks_whose_host_is_silent(shoal: Shoal, web: ClusterService) -> None:
    web.state.exits_with = None
    shoal("run", "web", "--on-disconnect", "keep", "--count", 2)
    reason = "Container instance x has been silent since noon"
    for task in web.state.tasks.values():
        task.disconnect_reason, task.on_disconnect = reason, "keep"
    assert shoal("ps").err.endswith(f": {reason}.\n")
    assert len(shoal("ps").err.splitlines()) == 1
    assert "If host lost" in shoal("describe", next(iter(web.state.tasks))).out
    sent = [each for each in web.state.requests if type(each).__name__ == "RunTaskRequest"]
    assert [each.on_disconnect for each in sent] == ["keep"]
