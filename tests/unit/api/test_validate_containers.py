"""One bad thing in one container: it is named by its path, alone."""

import time
from typing import Any

import pytest
from shoal_scheduler.api.validate_task_definition import task_definition_problems

from tests.unit.api.definitions import container, definition, of_container

C = "containerDefinitions[0]"
HEALTH = {"command": ["CMD", "true"]}
LIMIT = {"name": "nofile", "softLimit": 10, "hardLimit": 20}


def fields_of(document: dict[str, Any]) -> list[str]:
    started = time.process_time()
    found = task_definition_problems(document)
    assert time.process_time() - started < 0.1
    for problem in found:
        assert problem.message.isascii()
        assert problem.message.isprintable()
        assert len(problem.message) < 400
    return [problem.field for problem in found]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "a.b"}, "name"),
    ({"name": "x" * 256}, "name"),
    ({"image": "../x"}, "image"),
    ({"cpu": -1}, "cpu"),
    ({"cpu": 10**18}, "cpu"),
    ({"memory": -1}, "memory"),
    ({"memory": 0}, "memory"),
    ({"memory": 5}, "memory"),
    ({"memory": 10**18}, "memory"),
    ({"memoryReservation": 0}, "memoryReservation"),
    ({"memory": 64, "memoryReservation": 65}, "memory"),
    ({"command": ["ls", "a\0b"]}, "command[1]"),
    ({"entryPoint": ["\0"]}, "entryPoint[0]"),
    ({"user": "a b"}, "user"),
    ({"user": "-1"}, "user"),
    ({"user": "a:b:c"}, "user"),
    ({"user": ":"}, "user"),
    ({"workingDirectory": "srv"}, "workingDirectory"),
    ({"workingDirectory": "/srv/../etc"}, "workingDirectory"),
    ({"stopTimeout": -1}, "stopTimeout"),
    ({"stopTimeout": 10**9}, "stopTimeout"),
    ({"startTimeout": 10**9}, "startTimeout"),
    ({"environment": [{"value": "x"}]}, "environment[0].name"),
    ({"environment": [{"name": ""}]}, "environment[0].name"),
    ({"environment": [{"name": "A=B"}]}, "environment[0].name"),
    ({"environment": [{"name": "A\0"}]}, "environment[0].name"),
    ({"environment": [{"name": "A\n"}]}, "environment[0].name"),
    ({"environment": [{"name": "A", "value": "\0"}]}, "environment[0].value"),
    ({"environmentFiles": [{"type": "s3"}]}, "environmentFiles[0].value"),
    ({"environmentFiles": [{"type": "http", "value": "x"}]}, "environmentFiles[0].type"),
    ({"environmentFiles": [{"type": "file", "value": "/srv/web.env"}]}, "environmentFiles[0].value"),
    ({"environmentFiles": [{"type": "file", "value": "file:///srv/../web.env"}]}, "environmentFiles[0].value"),
    ({"environmentFiles": [{"type": "s3", "value": "x"}] * 11}, "environmentFiles"),
    ({"secrets": [{"name": "A"}]}, "secrets[0].valueFrom"),
    ({"secrets": [{"name": "A=", "valueFrom": "x"}]}, "secrets[0].name"),
    ({"secrets": [{"name": "A", "valueFrom": "x"}] * 2}, "secrets[1].name"),
    ({"secrets": [{"name": "A", "valueFrom": "x"}], "environment": [{"name": "A"}]}, "secrets[0].name"),
    ({"dockerLabels": {"shoal.task": "x"}}, 'dockerLabels["shoal.task"]'),
    ({"dockerLabels": {"SHOAL.task": "x"}}, 'dockerLabels["SHOAL.task"]'),
    ({"dockerLabels": {"": "x"}}, "dockerLabels"),
    ({"dockerLabels": {"a": "\0"}}, "dockerLabels.a"),
    ({"healthCheck": {}}, "healthCheck.command"),
    ({"healthCheck": {"command": ["true"]}}, "healthCheck.command"),
    ({"healthCheck": {"command": ["CMD-SHELL"]}}, "healthCheck.command"),
    ({"healthCheck": {**HEALTH, "interval": 0}}, "healthCheck.interval"),
    ({"healthCheck": {**HEALTH, "interval": 301}}, "healthCheck.interval"),
    ({"healthCheck": {**HEALTH, "timeout": 1}}, "healthCheck.timeout"),
    ({"healthCheck": {**HEALTH, "timeout": 61}}, "healthCheck.timeout"),
    ({"healthCheck": {**HEALTH, "retries": 0}}, "healthCheck.retries"),
    ({"healthCheck": {**HEALTH, "retries": 11}}, "healthCheck.retries"),
    ({"healthCheck": {**HEALTH, "startPeriod": 301}}, "healthCheck.startPeriod"),
    ({"restartPolicy": {}}, "restartPolicy.enabled"),
    ({"restartPolicy": {"enabled": True, "ignoredExitCodes": [1] * 51}}, "restartPolicy.ignoredExitCodes"),
    ({"restartPolicy": {"enabled": True, "restartAttemptPeriod": 59}}, "restartPolicy.restartAttemptPeriod"),
    ({"restartPolicy": {"enabled": True, "restartAttemptPeriod": 1801}}, "restartPolicy.restartAttemptPeriod"),
    ({"logConfiguration": {}}, "logConfiguration.logDriver"),
    ({"logConfiguration": {"logDriver": "jsonfile"}}, "logConfiguration.logDriver"),
    (
        {"logConfiguration": {"logDriver": "syslog", "secretOptions": [{"name": "a"}]}},
        "logConfiguration.secretOptions[0].valueFrom",
    ),
    ({"versionConsistency": "yes"}, "versionConsistency"),
    ({"repositoryCredentials": {}}, "repositoryCredentials.credentialsParameter"),
    ({"firelensConfiguration": {"type": "logstash"}}, "firelensConfiguration.type"),
    # network
    ({"portMappings": [{}]}, "portMappings[0].containerPort"),
    ({"portMappings": [{"containerPort": 0}]}, "portMappings[0].containerPort"),
    ({"portMappings": [{"containerPort": -1}]}, "portMappings[0].containerPort"),
    ({"portMappings": [{"containerPort": 65536}]}, "portMappings[0].containerPort"),
    ({"portMappings": [{"containerPort": 80, "hostPort": -1}]}, "portMappings[0].hostPort"),
    ({"portMappings": [{"containerPort": 80, "hostPort": 65536}]}, "portMappings[0].hostPort"),
    ({"portMappings": [{"containerPort": 80, "protocol": "TCP"}]}, "portMappings[0].protocol"),
    ({"portMappings": [{"containerPort": 80, "protocol": "sctp"}]}, "portMappings[0].protocol"),
    ({"portMappings": [{"containerPort": 80, "appProtocol": "h2"}]}, "portMappings[0].appProtocol"),
    ({"portMappings": [{"containerPort": 80, "name": "-web"}]}, "portMappings[0].name"),
    ({"portMappings": [{"containerPort": 80, "name": "x" * 65}]}, "portMappings[0].name"),
    (
        {"portMappings": [{"containerPort": 80}, {"containerPort": 80, "protocol": "tcp"}]},
        "portMappings[1].containerPort",
    ),
    (
        {"portMappings": [{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}]},
        "portMappings[1].name",
    ),
    (
        {"portMappings": [{"containerPort": 80, "hostPort": 90}, {"containerPort": 81, "hostPort": 90}]},
        "portMappings[1].hostPort",
    ),
    ({"portMappings": [{"containerPort": 80, "containerPortRange": "81-82"}]}, "portMappings[0].containerPortRange"),
    ({"portMappings": [{"containerPortRange": "82-81"}]}, "portMappings[0].containerPortRange"),
    ({"portMappings": [{"containerPortRange": "0-81"}]}, "portMappings[0].containerPortRange"),
    ({"portMappings": [{"containerPortRange": "80-65536"}]}, "portMappings[0].containerPortRange"),
    ({"portMappings": [{"containerPortRange": "80"}]}, "portMappings[0].containerPortRange"),
    ({"portMappings": [{"containerPortRange": "a-b"}]}, "portMappings[0].containerPortRange"),
    ({"portMappings": [{"containerPortRange": "80-90", "hostPort": 80}]}, "portMappings[0].hostPort"),
    (
        {"portMappings": [{"containerPortRange": "80-90"}, {"containerPortRange": "90-99"}]},
        "portMappings[1].containerPortRange",
    ),
    ({"portMappings": [{"containerPortRange": f"{i}-{i}"} for i in range(1000, 1101)]}, "portMappings"),
    ({"links": ["nobody:db"]}, "links[0]"),
    ({"links": ["app"]}, "links[0]"),
    ({"hostname": "a_b c"}, "hostname"),
    ({"hostname": "x" * 65}, "hostname"),
    ({"dnsServers": ["dns.example"]}, "dnsServers[0]"),
    ({"dnsServers": ["10.0.0.256"]}, "dnsServers[0]"),
    ({"dnsSearchDomains": ["-"]}, "dnsSearchDomains[0]"),
    ({"extraHosts": [{"ipAddress": "10.0.0.1"}]}, "extraHosts[0].hostname"),
    ({"extraHosts": [{"hostname": "db"}]}, "extraHosts[0].ipAddress"),
    ({"extraHosts": [{"hostname": "db", "ipAddress": "db"}]}, "extraHosts[0].ipAddress"),
    # storage
    ({"mountPoints": [{"containerPath": "/x"}]}, "mountPoints[0].sourceVolume"),
    ({"mountPoints": [{"sourceVolume": "nothing", "containerPath": "/x"}]}, "mountPoints[0].sourceVolume"),
    ({"mountPoints": [{"sourceVolume": "a/../../etc", "containerPath": "/x"}]}, "mountPoints[0].sourceVolume"),
    ({"volumesFrom": [{}]}, "volumesFrom[0].sourceContainer"),
    ({"volumesFrom": [{"sourceContainer": "app"}]}, "volumesFrom[0].sourceContainer"),
    ({"volumesFrom": [{"sourceContainer": "nobody"}]}, "volumesFrom[0].sourceContainer"),
    # Linux
    ({"linuxParameters": {"sharedMemorySize": 0}}, "linuxParameters.sharedMemorySize"),
    ({"linuxParameters": {"maxSwap": -1}}, "linuxParameters.maxSwap"),
    ({"linuxParameters": {"swappiness": 101}}, "linuxParameters.swappiness"),
    ({"linuxParameters": {"capabilities": {"add": ["CAP_CHOWN"]}}}, "linuxParameters.capabilities.add[0]"),
    ({"linuxParameters": {"capabilities": {"drop": ["EVERYTHING"]}}}, "linuxParameters.capabilities.drop[0]"),
    ({"linuxParameters": {"devices": [{}]}}, "linuxParameters.devices[0].hostPath"),
    ({"linuxParameters": {"devices": [{"hostPath": "dev/x"}]}}, "linuxParameters.devices[0].hostPath"),
    (
        {"linuxParameters": {"devices": [{"hostPath": "/dev/x", "permissions": ["exec"]}]}},
        "linuxParameters.devices[0].permissions[0]",
    ),
    ({"linuxParameters": {"tmpfs": [{"containerPath": "/x"}]}}, "linuxParameters.tmpfs[0].size"),
    ({"linuxParameters": {"tmpfs": [{"containerPath": "/x", "size": 0}]}}, "linuxParameters.tmpfs[0].size"),
    ({"linuxParameters": {"tmpfs": [{"containerPath": "x", "size": 1}]}}, "linuxParameters.tmpfs[0].containerPath"),
    ({"linuxParameters": {"tmpfs": [{"containerPath": "/", "size": 1}]}}, "linuxParameters.tmpfs[0].containerPath"),
    (
        {"linuxParameters": {"tmpfs": [{"containerPath": "/x", "size": 1, "mountOptions": ["rw,suid"]}]}},
        "linuxParameters.tmpfs[0].mountOptions[0]",
    ),
    ({"ulimits": [{**LIMIT, "name": "files"}]}, "ulimits[0].name"),
    ({"ulimits": [{"name": "nofile", "hardLimit": 1}]}, "ulimits[0].softLimit"),
    ({"ulimits": [{**LIMIT, "softLimit": -1, "hardLimit": -1}]}, "ulimits[0].softLimit"),
    ({"ulimits": [{**LIMIT, "name": "core", "softLimit": -2}]}, "ulimits[0].softLimit"),
    ({"ulimits": [{**LIMIT, "name": "core", "softLimit": -1}]}, "ulimits[0].softLimit"),
    ({"ulimits": [{**LIMIT, "softLimit": 21}]}, "ulimits[0].softLimit"),
    ({"ulimits": [LIMIT, LIMIT]}, "ulimits[1].name"),
    ({"systemControls": [{"namespace": "net.ipv4.ip_forward"}]}, "systemControls[0].value"),
    ({"systemControls": [{"namespace": "vm.swappiness", "value": "1"}]}, "systemControls[0].namespace"),
    ({"systemControls": [{"namespace": "kernel.panic", "value": "1"}]}, "systemControls[0].namespace"),
    ({"dockerSecurityOptions": ["systempaths=unconfined"]}, "dockerSecurityOptions[0]"),
    ({"dockerSecurityOptions": ["label:\n"]}, "dockerSecurityOptions[0]"),
    ({"dependsOn": [{"containerName": "nobody", "condition": "START"}]}, "dependsOn[0].containerName"),
    ({"dependsOn": [{"containerName": "app", "condition": "START"}]}, "dependsOn[0].containerName"),
]


@pytest.mark.parametrize(("fields", "field"), BAD, ids=[f"{number}-{row[1]}" for number, row in enumerate(BAD)])
def test_bad(fields: dict[str, Any], field: str) -> None:
    found = fields_of(of_container(**fields))
    assert f"{C}.{field}" in found
    assert {name for name in found if not name.startswith(f"{C}.{field}")} <= {f"{C}.ulimits[0].hardLimit"}


GOOD: list[dict[str, Any]] = [
    {"cpu": 0},
    {"cpu": 196608, "memory": 6},
    {"memory": 128, "memoryReservation": 128},
    {"user": "www-data"},
    {"user": "1000:1000"},
    {"user": ""},
    {"workingDirectory": ""},
    {"stopTimeout": 0},
    {"stopTimeout": 3600},
    {"environment": [{"name": "A"}, {"name": "a.b-c d", "value": "x=y\nz\u00e9"}]},
    {"portMappings": [{"containerPort": 80, "hostPort": 0}, {"containerPort": 80, "protocol": "udp"}]},
    {"portMappings": [{"containerPort": 1, "hostPort": 65535}, {"containerPort": 65535, "hostPort": 1}]},
    {"portMappings": [{"containerPort": 80, "hostPort": 53}, {"containerPort": 81, "hostPort": 53, "protocol": "udp"}]},
    {"portMappings": [{"containerPortRange": f"{i}-{i}"} for i in range(1000, 1100)]},
    {"extraHosts": [{"hostname": "host.docker.internal", "ipAddress": "host-gateway"}]},
    {"dnsServers": ["::1"], "dnsSearchDomains": ["."]},
    {"privileged": True, "readonlyRootFilesystem": True, "interactive": False},
    {"linuxParameters": {"capabilities": {"add": ["ALL"], "drop": ["ALL"]}}},
    {"linuxParameters": {"devices": [{"hostPath": "/dev/mem"}]}},
    {"ulimits": [{"name": "memlock", "softLimit": -1, "hardLimit": -1}]},
    {"ulimits": [{"name": "core", "softLimit": 0, "hardLimit": -1}]},
    {"systemControls": [{"namespace": "net.core.somaxconn", "value": "1024"}]},
    {"dockerSecurityOptions": ["no-new-privileges", "apparmor:unconfined", "label:type:svirt_t"]},
    {"dockerLabels": {"com.example/x": "", "shoalish": "1"}},
    {"healthCheck": {"command": ["CMD-SHELL", "true"], "interval": 5, "timeout": 60, "startPeriod": 0}},
]


@pytest.mark.parametrize("fields", GOOD, ids=[f"{number}-{next(iter(row))}" for number, row in enumerate(GOOD)])
def test_good(fields: dict[str, Any]) -> None:
    assert task_definition_problems(of_container(**fields)) == []


PATHS = [
    "",
    "x",
    "./x",
    "../x",
    "/x/../y",
    "/..",
    "/x\0",
    "/x\n",
    "C:\\x",
    "/",
    "//",
    "/.",
    "/proc",
    "/proc/",
    "//proc",
]


@pytest.mark.parametrize("path", PATHS)
def test_where_nothing_can_be_mounted(path: str) -> None:
    mount = {"sourceVolume": "v", "containerPath": path}
    found = fields_of(definition(container(mountPoints=[mount]), volumes=[{"name": "v"}]))
    assert found == [f"{C}.mountPoints[0].containerPath"]


def test_two_volumes_in_one_place() -> None:
    mounts = [{"sourceVolume": "v", "containerPath": path} for path in ("/x", "/x/")]
    found = fields_of(definition(container(mountPoints=mounts), volumes=[{"name": "v"}]))
    assert found == [f"{C}.mountPoints[1].containerPath"]


def test_kernel_parameters_of_shared_namespaces() -> None:
    net = container(systemControls=[{"namespace": "net.core.somaxconn", "value": "1"}])
    ipc = container(systemControls=[{"namespace": "fs.mqueue.msg_max", "value": "1"}])
    assert fields_of(definition(net, networkMode="host")) == [f"{C}.systemControls[0].namespace"]
    assert fields_of(definition(ipc, ipcMode="host")) == [f"{C}.systemControls[0].namespace"]
    assert fields_of(definition(net, ipcMode="host")) == fields_of(definition(ipc, networkMode="host")) == []


def test_timeouts_are_shorter_on_fargate() -> None:
    fargate = {"requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512"}
    assert fields_of(definition(container(stopTimeout=120), **fargate)) == []
    assert fields_of(definition(container(stopTimeout=121), **fargate)) == [f"{C}.stopTimeout"]


def test_windows_paths_are_left_alone() -> None:
    windows = {"runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}}
    volumes = [{"name": "v", "host": {"sourcePath": "C:\\data"}}]
    app = container(workingDirectory="C:\\app", mountPoints=[{"sourceVolume": "v", "containerPath": "D:\\data"}])
    assert fields_of(definition(app, volumes=volumes, **windows)) == []
