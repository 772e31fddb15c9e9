"""Images in a cluster's own registry, brought there as people do: `shoal registry login`, `docker push`."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.ground.cluster import Cluster
from tests.ground.engine import Engine
from tests.ground.shell import Shell


def push(cluster: Cluster, engine: Engine, base: str, name: str) -> str:
    """`base` of that engine with a layer that no other image has, as repository:tag `name`. What images call it; no
    engine has it."""
    return push_with(cluster, engine, base, name, {"mark": os.urandom(4096)})


def push_with(
    cluster: Cluster, engine: Engine, base: str, name: str, files: Mapping[str, bytes], command: str = ""
) -> str:
    """The same with a layer of these files, by path from the root. command: for a shell, what its containers run; as
    that of `base` if none is given."""
    address = cluster.context.registry
    assert address is not None, "the cluster has a registry"
    image, configuration = f"{address}/{name}", cluster.folder / "docker"
    Shell({**cluster.environment, "DOCKER_CONFIG": str(configuration)}).shoal("registry", "login")
    container = engine.docker("create", base, "true")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for path, content in files.items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        engine.docker("cp", f"{folder}/.", f"{container}:/")
    change = [f"--change=CMD {json.dumps(['sh', '-c', command])}"] if command else []
    engine.docker("commit", *change, container, image)
    engine.docker("rm", container)
    engine.docker("--config", str(configuration), "push", "--quiet", image)
    engine.docker("rmi", image)
    return image
