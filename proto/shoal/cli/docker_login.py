"""What `docker login` leaves behind, and who else reads docker's configuration (podman, skopeo, buildah, oras)."""

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from shoal.cli.failures import Failed
from shoal.whole_file import write_whole


def configuration_path() -> Path:
    named = os.environ.get("DOCKER_CONFIG")
    return (Path(named) if named else Path.home() / ".docker") / "config.json"


def keep(address: str, name: str, secret: str) -> str:
    """Where it is kept now: in docker's configuration, or with the program that is named there. Raises Failed."""
    path = configuration_path()
    document = _read(path)
    helper = document.get("credHelpers", {}).get(address) or document.get("credsStore")
    if helper:
        return _hand_over(str(helper), address, name, secret)
    document["auths"] = {
        **document.get("auths", {}),
        address: {"auth": base64.b64encode(f"{name}:{secret}".encode()).decode()},
    }
    write_whole(path, json.dumps(document, indent="\t").encode(), 0o600)
    return str(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise Failed(f"{path} is not docker's configuration: {error}", "Mend it, or move it away.") from None
    if not isinstance(document, dict) or not all(isinstance(document.get(each, {}), dict) for each in _OBJECTS):
        raise Failed(f"{path} is not docker's configuration.", "Mend it, or move it away.")
    return document


_OBJECTS = ("auths", "credHelpers")


def _hand_over(helper: str, address: str, name: str, secret: str) -> str:
    """As docker itself speaks to such a program."""
    program = f"docker-credential-{helper}"
    told = json.dumps({"ServerURL": address, "Username": name, "Secret": secret})
    try:
        done = subprocess.run([program, "store"], input=told, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{program}, which docker's configuration names, does not run: {error}") from None
    if done.returncode != 0:
        raise Failed(f"{program} keeps no secret: {(done.stdout or done.stderr).strip()[:500]}")
    return program
