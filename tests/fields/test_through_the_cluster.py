"""The whole way once: what was registered by a client is what the engine of an instance was told."""

import json
from typing import Any

from tests.fields.running import MIB, Document, container, definition
from tests.ground import work
from tests.ground.cluster import Cluster
from tests.ground.engine import Engine


def document() -> Document:
    app = container(
        "sleep 1000",
        cpu=64,
        memoryReservation=16,
        user="1234:2345",
        workingDirectory="/tmp",
        hostname="box-1",
        environment=[{"name": "A", "value": "1"}],
        dockerLabels={"team": "web"},
        dnsServers=["10.9.8.7"],
        extraHosts=[{"hostname": "added", "ipAddress": "10.1.2.3"}],
        ulimits=[{"name": "nofile", "softLimit": 100, "hardLimit": 200}],
        systemControls=[{"namespace": "net.core.somaxconn", "value": "77"}],
        linuxParameters={
            "initProcessEnabled": True,
            "sharedMemorySize": 5,
            "capabilities": {"drop": ["CHOWN"]},
            "tmpfs": [{"containerPath": "/memory", "size": 3}],
        },
        mountPoints=[{"sourceVolume": "scratch", "containerPath": "/task"}],
        readonlyRootFilesystem=True,
        stopTimeout=0,
    )
    return definition(app, volumes=[{"name": "scratch"}])


EXPECTED: dict[str, Any] = {
    "Config.User": "1234:2345",
    "Config.WorkingDir": "/tmp",
    "Config.Hostname": "box-1",
    "Config.StopTimeout": 0,
    "Config.Labels.team": "web",
    "HostConfig.CpuShares": 64,
    "HostConfig.Memory": 32 * MIB,
    "HostConfig.MemoryReservation": 16 * MIB,
    "HostConfig.Dns": ["10.9.8.7"],
    "HostConfig.ExtraHosts": ["added:10.1.2.3"],
    "HostConfig.Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
    "HostConfig.Sysctls": {"net.core.somaxconn": "77"},
    "HostConfig.Init": True,
    "HostConfig.ShmSize": 5 * MIB,
    "HostConfig.Tmpfs": {"/memory": "size=3m"},
    "HostConfig.CapDrop": ["CHOWN"],
    "HostConfig.ReadonlyRootfs": True,
}


def at(found: Any, path: str) -> Any:
    for key in path.split("."):
        found = found[key]
    return found


async def test_fields_arrive(cluster: Cluster, engine: Engine) -> None:
    async with cluster.client() as client:
        (task_id,) = await work.run(client, await work.register(client, document()))
        (running,) = (await work.until_all(client, [task_id], "RUNNING")).values()
        (container_id,) = work.docker_ids({task_id: running}).values()
        found = json.loads(engine.docker("inspect", container_id))[0]
        assert {path: at(found, path) for path in EXPECTED} == EXPECTED
        assert "A=1" in found["Config"]["Env"]
        assert [mount["Destination"] for mount in found["Mounts"]] == ["/task"]
        await work.stop(client, [task_id])
        await work.until_all(client, [task_id], "STOPPED")
