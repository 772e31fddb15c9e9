"""What a task definition becomes at the engine: by tables, one field at a time, and what is refused."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.definition.labels import Owner, read
from shoal_agent.definition.refusal import Refused
from shoal_agent.definition.specification import Specification, specification
from shoal_agent.engine.port import Port
from shoal_agent.task import Assignment, ContainerPlan

MIB = 1024 * 1024
OWNER = Owner("default", "i1", 42)
NONE_ALLOWED = Configuration()
ALL_ALLOWED = Configuration(allow_privileged=True, allow_host_namespaces=True)


def made(
    container: dict[str, Any] | None = None,
    task: dict[str, Any] | None = None,
    overrides: dict[str, Any] | None = None,
    rules: Configuration = NONE_ALLOWED,
    gpu_ids: dict[str, tuple[str, ...]] | None = None,
) -> Specification:
    whole = {"name": "web", "image": "nginx:1", **(container or {})}
    document = {"family": "t", "containerDefinitions": [whole], **(task or {})}
    wanted = Assignment(
        "t1", definition=document, definition_arn="t:1", overrides=overrides or {}, fence=9, gpu_ids=gpu_ids or {}
    )
    return specification(wanted, "web", OWNER, rules)


def at(body: Any, path: str) -> Any:
    for key in path.split("."):
        body = body.get(key)
    return body


@pytest.mark.parametrize(
    ("container", "path", "value"),
    [
        ({}, "Image", "nginx:1"),
        ({}, "Env", ["TASK_FENCE=9"]),
        ({"environment": [{"name": "A", "value": "1"}, {"name": "B"}]}, "Env", ["A=1", "B=", "TASK_FENCE=9"]),
        ({"environment": [{"name": "TASK_FENCE", "value": "0"}]}, "Env", ["TASK_FENCE=9"]),
        ({"command": ["a", "b"]}, "Cmd", ["a", "b"]),
        ({}, "Cmd", None),
        ({"entryPoint": ["sh"]}, "Entrypoint", ["sh"]),
        ({"user": "1000:1000"}, "User", "1000:1000"),
        ({"workingDirectory": "/srv"}, "WorkingDir", "/srv"),
        ({"hostname": "box"}, "Hostname", "box"),
        ({"pseudoTerminal": True}, "Tty", True),
        ({"interactive": True}, "OpenStdin", True),
        ({}, "StopTimeout", 30),
        ({"stopTimeout": 0}, "StopTimeout", 0),
        ({"stopTimeout": 90}, "StopTimeout", 90),
        ({}, "Healthcheck", {"Test": ["NONE"]}),
        ({}, "HostConfig.CpuShares", 2),
        ({"cpu": 0}, "HostConfig.CpuShares", 2),
        ({"cpu": 256}, "HostConfig.CpuShares", 256),
        ({"memory": 64}, "HostConfig.Memory", 64 * MIB),
        ({"memory": 64, "memoryReservation": 32}, "HostConfig.MemoryReservation", 32 * MIB),
        ({"memoryReservation": 32}, "HostConfig.MemoryReservation", 32 * MIB),
        ({"memoryReservation": 32}, "HostConfig.Memory", None),
        ({"memory": 64, "linuxParameters": {"maxSwap": 0}}, "HostConfig.MemorySwap", 64 * MIB),
        ({"readonlyRootFilesystem": True}, "HostConfig.ReadonlyRootfs", True),
        ({"dnsServers": ["10.0.0.2"]}, "HostConfig.Dns", ["10.0.0.2"]),
        ({"dnsSearchDomains": ["x"]}, "HostConfig.DnsSearch", ["x"]),
        ({"extraHosts": [{"hostname": "a", "ipAddress": "10.0.0.1"}]}, "HostConfig.ExtraHosts", ["a:10.0.0.1"]),
        (
            {"ulimits": [{"name": "nofile", "softLimit": 10, "hardLimit": 20}]},
            "HostConfig.Ulimits",
            [{"Name": "nofile", "Soft": 10, "Hard": 20}],
        ),
        (
            {"systemControls": [{"namespace": "net.core.somaxconn", "value": "9"}]},
            "HostConfig.Sysctls",
            {"net.core.somaxconn": "9"},
        ),
        ({"linuxParameters": {"initProcessEnabled": True}}, "HostConfig.Init", True),
        ({"linuxParameters": {"sharedMemorySize": 8}}, "HostConfig.ShmSize", 8 * MIB),
        (
            {"linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 5, "mountOptions": ["noexec"]}]}},
            "HostConfig.Tmpfs",
            {"/t": "noexec,size=5m"},
        ),
        (
            {"linuxParameters": {"capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}},
            "HostConfig.CapAdd",
            ["NET_ADMIN"],
        ),
        ({"linuxParameters": {"capabilities": {"drop": ["ALL"]}}}, "HostConfig.CapDrop", ["ALL"]),
        ({"dockerSecurityOptions": ["no-new-privileges"]}, "HostConfig.SecurityOpt", ["no-new-privileges"]),
        ({"links": ["db:database"]}, "HostConfig.Links", ["default.t1.db:database"]),
        ({"disableNetworking": True}, "HostConfig.NetworkMode", "none"),
        ({}, "HostConfig.RestartPolicy", {"Name": "no"}),
        ({}, "HostConfig.OomScoreAdj", 0),
        ({}, "HostConfig.Privileged", False),
        ({}, "HostConfig.LogConfig", {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}),
        (
            {"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "g"}}},
            "HostConfig.LogConfig",
            {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
        ),
    ],
)
def test_a_field_of_a_container(container: dict[str, Any], path: str, value: Any) -> None:
    assert at(made(container).body, path) == value


@pytest.mark.parametrize(
    ("task", "overrides", "path", "value"),
    [
        ({"cpu": "512"}, {}, "HostConfig.NanoCpus", 500_000_000),
        ({"cpu": "1 vCPU"}, {}, "HostConfig.NanoCpus", 1_000_000_000),
        ({"cpu": ".25 vcpu"}, {}, "HostConfig.NanoCpus", 250_000_000),
        ({"cpu": "512"}, {"cpu": "256"}, "HostConfig.NanoCpus", 250_000_000),
        ({"memory": "512"}, {}, "HostConfig.Memory", 512 * MIB),
        ({"memory": "1 GB"}, {}, "HostConfig.Memory", 1024 * MIB),
        ({"memory": "512"}, {"memory": "0.5GB"}, "HostConfig.Memory", 512 * MIB),
        ({}, {"containerOverrides": [{"name": "web", "command": ["x"]}]}, "Cmd", ["x"]),
        ({}, {"containerOverrides": [{"name": "other", "command": ["x"]}]}, "Cmd", None),
        (
            {},
            {"containerOverrides": [{"name": "web", "environment": [{"name": "A", "value": "2"}]}]},
            "Env",
            ["A=2", "TASK_FENCE=9"],
        ),
        ({}, {"containerOverrides": [{"name": "web", "memory": 99}]}, "HostConfig.Memory", 99 * MIB),
        ({}, {"containerOverrides": [{"name": "web", "cpu": 99}]}, "HostConfig.CpuShares", 99),
        ({}, {}, "HostConfig.NetworkMode", "bridge"),
        ({"networkMode": "host"}, {}, "HostConfig.NetworkMode", "host"),
        ({"networkMode": "none"}, {}, "HostConfig.NetworkMode", "none"),
        ({"networkMode": "awsvpc"}, {}, "HostConfig.NetworkMode", "bridge"),
    ],
)
def test_a_field_of_a_task(task: dict[str, Any], overrides: dict[str, Any], path: str, value: Any) -> None:
    assert at(made(task=task, overrides=overrides).body, path) == value


@pytest.mark.parametrize(
    ("mode", "mapping", "bindings", "fixed", "is_open"),
    [
        ("bridge", {"containerPort": 80}, {"80/tcp": ""}, (), True),
        ("bridge", {"containerPort": 80, "hostPort": 0}, {"80/tcp": ""}, (), True),
        ("bridge", {"containerPort": 80, "hostPort": 8080}, {"80/tcp": "8080"}, (Port(80, 8080),), False),
        ("bridge", {"containerPort": 53, "protocol": "udp"}, {"53/udp": ""}, (), True),
        ("bridge", {"containerPortRange": "80-81"}, {"80/tcp": "", "81/tcp": ""}, (), True),
        ("awsvpc", {"containerPort": 80, "hostPort": 80}, {"80/tcp": ""}, (), True),
        ("host", {"containerPort": 80}, {}, (Port(80, 80),), False),
        ("none", {"containerPort": 80}, {}, (), False),
    ],
)
def test_ports(
    mode: str, mapping: dict[str, Any], bindings: dict[str, str], fixed: tuple[Port, ...], is_open: bool
) -> None:
    found = made({"portMappings": [mapping]}, {"networkMode": mode})
    bound = found.body["HostConfig"]["PortBindings"]
    assert {key: entries[0]["HostPort"] for key, entries in bound.items()} == bindings
    assert found.body["ExposedPorts"].keys() == bindings.keys()
    assert (found.ports.fixed, found.ports.open) == (fixed, is_open)


def test_dynamic_ports_come_from_the_instances_range() -> None:
    rules = Configuration(dynamic_ports="20000-20100")
    found = made({"portMappings": [{"containerPort": 80}]}, rules=rules)
    assert found.body["HostConfig"]["PortBindings"]["80/tcp"][0]["HostPort"] == "20000-20100"


@pytest.mark.parametrize(
    ("container", "task", "path"),
    [
        ({"privileged": True}, {}, "containerDefinitions[0].privileged"),
        ({}, {"pidMode": "host"}, "pidMode"),
        ({}, {"ipcMode": "host"}, "ipcMode"),
        (
            {"linuxParameters": {"capabilities": {"add": ["NET_ADMIN", "CAP_SYS_ADMIN"]}}},
            {},
            "containerDefinitions[0].linuxParameters.capabilities.add[1]",
        ),
        (
            {"linuxParameters": {"devices": [{"hostPath": "/dev/mem"}]}},
            {},
            "containerDefinitions[0].linuxParameters.devices[0].hostPath",
        ),
        ({"dockerSecurityOptions": ["seccomp=unconfined"]}, {}, "containerDefinitions[0].dockerSecurityOptions[0]"),
        ({"secrets": [{"name": "A", "valueFrom": "b"}]}, {}, "containerDefinitions[0].secrets"),
        ({"environmentFiles": [{"value": "a"}]}, {}, "containerDefinitions[0].environmentFiles[0].type"),
        ({"repositoryCredentials": {"credentialsParameter": "a"}}, {}, "containerDefinitions[0].repositoryCredentials"),
        ({"firelensConfiguration": {"type": "fluentd"}}, {}, "containerDefinitions[0].firelensConfiguration"),
        ({"credentialSpecs": ["a"]}, {}, "containerDefinitions[0].credentialSpecs"),
        ({}, {"taskRoleArn": "a"}, "taskRoleArn"),
        ({}, {"trustedExecutionConfiguration": {"isolationMode": "a"}}, "trustedExecutionConfiguration"),
        (
            {"mountPoints": [{"sourceVolume": "no", "containerPath": "/x"}]},
            {},
            "containerDefinitions[0].mountPoints[0].sourceVolume",
        ),
        (
            {"mountPoints": [{"sourceVolume": "v", "containerPath": "/x"}]},
            {"volumes": [{"name": "v", "host": {"sourcePath": "/var/run/docker.sock"}}]},
            "volumes[0].host.sourcePath",
        ),
        (
            {"mountPoints": [{"sourceVolume": "v", "containerPath": "/x"}]},
            {"volumes": [{"name": "v", "dockerVolumeConfiguration": {"driverOpts": {"device": "/"}}}]},
            "volumes[0].dockerVolumeConfiguration.driverOpts",
        ),
        (
            {"mountPoints": [{"sourceVolume": "v", "containerPath": "/x"}]},
            {"volumes": [{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs"}}]},
            "volumes[0].efsVolumeConfiguration",
        ),
        ({"ulimits": [{"name": "nofile"}]}, {}, "containerDefinitions[0]"),
        ({"image": None}, {"cpu": "many"}, "cpu"),
    ],
)
def test_what_is_refused_says_which_field(container: dict[str, Any], task: dict[str, Any], path: str) -> None:
    with pytest.raises(Refused) as refused:
        made(container, task)
    assert refused.value.path == path


def test_an_operator_may_allow_it() -> None:
    made({"privileged": True, "dockerSecurityOptions": ["seccomp=unconfined"]}, rules=ALL_ALLOWED)
    shared = made({}, {"pidMode": "host", "ipcMode": "host"}, rules=ALL_ALLOWED)
    assert shared.body["HostConfig"]["PidMode"] == shared.body["HostConfig"]["IpcMode"] == "host"
    devices = {"linuxParameters": {"devices": [{"hostPath": "/dev/null", "permissions": ["read"]}]}}
    given = made(devices, rules=Configuration(devices=("/dev/null",)))
    assert given.body["HostConfig"]["Devices"] == [
        {"PathOnHost": "/dev/null", "PathInContainer": "/dev/null", "CgroupPermissions": "r"}
    ]


Mount = Callable[[str], Any]


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    rules = Configuration(host_mounts=(str(tmp_path / "given"),))
    (tmp_path / "given" / "inner").mkdir(parents=True)
    (tmp_path / "secret").mkdir()

    def given(path: str) -> Any:
        volumes = [{"name": "v", "host": {"sourcePath": path.replace("ROOT", str(tmp_path))}}]
        points = [{"sourceVolume": "v", "containerPath": "/x", "readOnly": True}]
        return made({"mountPoints": points}, {"volumes": volumes}, rules=rules).body["HostConfig"]["Binds"][0]

    return given


@pytest.mark.parametrize("path", ["ROOT/given", "ROOT/given/", "ROOT/given/inner", "ROOT/given/not/there/yet"])
def test_paths_below_a_listed_one_are_given(mount: Mount, tmp_path: Path, path: str) -> None:
    found = mount(path)
    assert found == os.path.realpath(path.replace("ROOT", str(tmp_path))) + ":/x:ro"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/proc",
        "ROOT",
        "ROOT/secret",
        "ROOT/given/../secret",
        "ROOT/given2",
        "given",
        "./ROOT/given",
        "ROOT/given\0",
    ],
)
def test_other_paths_are_not(mount: Mount, path: str) -> None:
    with pytest.raises(Refused):
        mount(path)


def test_a_link_does_not_lead_out(mount: Mount, tmp_path: Path) -> None:
    (tmp_path / "given" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(Refused, match="really"):
        mount("ROOT/given/link")


def test_volumes_of_a_task_are_its_own_and_a_shared_one_keeps_its_name() -> None:
    points = [{"sourceVolume": name, "containerPath": f"/{name}"} for name in ("a", "b", "c")]
    volumes = [
        {"name": "a", "host": {}},
        {"name": "b", "dockerVolumeConfiguration": {"scope": "task"}},
        {"name": "c", "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": True}},
    ]
    found = made({"mountPoints": points}, {"volumes": volumes})
    sources = [entry["Source"] for entry in found.body["HostConfig"]["Mounts"]]
    assert sources == ["shoal.default.t1.a", "shoal.default.t1.b", "c"]
    assert found.volumes == ("shoal.default.t1.a", "shoal.default.t1.b")


def test_labels_name_it_and_cannot_be_forged() -> None:
    for name in ("shoal.instance", "Shoal.task"):
        with pytest.raises(Refused, match="dockerLabels"):
            made({"dockerLabels": {name: "t9"}})
    found = made({"dockerLabels": {"team": "a"}}).body["Labels"]
    assert OWNER.owns(found) and found["team"] == "a"
    tag = read(found)
    assert tag is not None
    assert (tag.task_id, tag.container, tag.epoch) == ("t1", "web", 42)
    assert tag.containers == (ContainerPlan("web"),)


def test_the_hash_tells_bodies_apart() -> None:
    same, other = made({"command": ["a"]}), made({"command": ["b"]})
    assert made({"command": ["a"]}).body["Labels"]["shoal.spec"] == same.body["Labels"]["shoal.spec"]
    assert other.body["Labels"]["shoal.spec"] != same.body["Labels"]["shoal.spec"]


def test_files_of_an_override_are_read_instead_and_its_variables_count_more(tmp_path: Path) -> None:
    for name in ("own", "other"):
        (tmp_path / f"{name}.env").write_text(f"FILE={name}\nA=file\n")
    own, other = ([{"type": "file", "value": f"file://{tmp_path}/{name}.env"}] for name in ("own", "other"))
    overrides = {"containerOverrides": [{"name": "web", "environmentFiles": other, "environment": [{"name": "A"}]}]}
    rules = Configuration(environment_file_folders=(str(tmp_path),))
    found = made({"environmentFiles": own}, overrides=overrides, rules=rules)
    assert found.body["Env"] == ["FILE=other", "A=", "TASK_FENCE=9"]


def test_ports_of_the_hosts_network_are_remembered_by_a_label() -> None:
    found = made({"portMappings": [{"containerPort": 80}]}, {"networkMode": "host"})
    tag = read(found.body["Labels"])
    assert tag is not None and tag.ports == (Port(80, 80),)
    tag = read(made({"portMappings": [{"containerPort": 80, "hostPort": 80}]}).body["Labels"])
    assert tag is not None and tag.ports == ()


def test_gpus_are_those_that_were_assigned() -> None:
    found = made(gpu_ids={"web": ("GPU-1", "GPU-2")})
    assert found.body["HostConfig"]["DeviceRequests"][0]["DeviceIDs"] == ["GPU-1", "GPU-2"]
    assert "DeviceRequests" not in made().body["HostConfig"]


def test_gpus_that_were_not_assigned_are_missed() -> None:
    with pytest.raises(Refused) as refused:
        made({"resourceRequirements": [{"type": "GPU", "value": "1"}]})
    assert refused.value.path == "containerDefinitions[0].resourceRequirements"
    made({"resourceRequirements": [{"type": "licence", "value": "1"}]})


MPS = {"type": "GPU", "sharingStrategy": {"nvidiaMps": {"memory": 4096, "maxComputePercent": 25}}}
PERCENTAGE = "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"


@pytest.mark.parametrize(
    ("requirement", "environment"),
    [
        ({"type": "GPU", "value": "1"}, []),
        ({"type": "GPU", "value": "0.5"}, [f"{PERCENTAGE}=50"]),
        ({"type": "GPU", "value": "0.125"}, [f"{PERCENTAGE}=12"]),
        ({"type": "GPU", "value": "0.001"}, [f"{PERCENTAGE}=1"]),
        (MPS, [f"{PERCENTAGE}=25", "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT=0=4096M"]),
        (
            {"type": "GPU", "sharingStrategy": {"nvidiaMps": {"memory": 1}}},
            ["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT=0=1M"],
        ),
    ],
)
def test_a_share_of_a_gpu_is_told_to_its_container(requirement: dict[str, Any], environment: list[str]) -> None:
    found = made({"resourceRequirements": [requirement]}, gpu_ids={"web": ("GPU-1",)})
    assert found.body["Env"] == [*environment, "TASK_FENCE=9"]


def test_a_share_that_the_definition_or_an_override_names_stays() -> None:
    container = {"resourceRequirements": [MPS], "environment": [{"name": PERCENTAGE, "value": "30"}]}
    gpu_ids: dict[str, tuple[str, ...]] = {"web": ("GPU-1",)}
    assert f"{PERCENTAGE}=30" in made(container, gpu_ids=gpu_ids).body["Env"]
    half = {"containerOverrides": [{"name": "web", "resourceRequirements": [{"type": "GPU", "value": "0.5"}]}]}
    overridden = made({"resourceRequirements": [MPS]}, overrides=half, gpu_ids=gpu_ids)
    assert overridden.body["Env"] == [f"{PERCENTAGE}=50", "TASK_FENCE=9"]
