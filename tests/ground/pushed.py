"""Images in a cluster's own registry, brought there as people do: `shoal registry login`, `docker push`."""

import os
import tempfile
from pathlib import Path

from tests.ground.cluster import Cluster
from tests.ground.engine import Engine
from tests.ground.shell import Shell


def push(cluster: Cluster, engine: Engine, base: str, name: str) -> str:
    """`base` of that engine with a layer that no other image has, as repository:tag `name`. What images call it; no
    engine has it."""
    address = cluster.context.registry
    assert address is not None, "the cluster has a registry"
    image, configuration = f"{address}/{name}", cluster.folder / "docker"
    Shell({**cluster.environment, "DOCKER_CONFIG": str(configuration)}).shoal("registry", "login")
    container = engine.docker("create", base, "true")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "mark").write_bytes(os.urandom(4096))
        engine.docker("cp", f"{folder}/mark", f"{container}:/mark")
    engine.docker("commit", container, image)
    engine.docker("rm", container)
    engine.docker("--config", str(configuration), "push", "--quiet", image)
    engine.docker("rmi", image)
    return image
