"""What an operator does, for tests that have no loop."""

import json
import urllib.request

from tests.ground.image_registry import ImageRegistry


def create_account(registry: ImageRegistry, name: str, repositories: str, *actions: str) -> str:
    """Its secret."""
    tls, issued = registry.tls(), registry.certificates.files("operator", "ann")
    tls.load_cert_chain(issued.certificate, issued.key)
    document = {"name": name, "rights": [{"repositories": repositories, "actions": actions}]}
    request = urllib.request.Request(f"{registry.url}/accounts", json.dumps(document).encode())
    with urllib.request.urlopen(request, context=tls) as answer:
        return str(json.load(answer)["secret"])
