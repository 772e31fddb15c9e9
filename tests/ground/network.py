"""Ports, addresses and bridges that nobody else uses."""

import ipaddress
import json
import random
import secrets
import socket
import subprocess
from dataclasses import dataclass

# Where home routers, offices and Docker itself seldom are.
_SUBNETS = ipaddress.ip_network("10.192.0.0/11")


def free_port() -> int:
    """A TCP port of the loopback address that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Bridge:
    name: str
    address: ipaddress.IPv4Interface

    def remove(self) -> None:
        subprocess.run(["ip", "link", "delete", self.name], check=False, capture_output=True)


def make_bridge() -> Bridge:
    """A bridge in this network namespace with a /24 of its own. Needs root."""
    name = f"shoal-t{secrets.token_hex(3)}"
    address = _free_subnet()
    for arguments in (
        ["link", "add", name, "type", "bridge"],
        ["address", "add", str(address), "dev", name],
        ["link", "set", name, "up"],
    ):
        subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
    return Bridge(name, address)


def _free_subnet() -> ipaddress.IPv4Interface:
    """The first address of a /24 that overlaps no route of this machine."""
    taken = _routes()
    for _ in range(1000):
        base = int(_SUBNETS.network_address) + 256 * random.randrange(_SUBNETS.num_addresses // 256)
        subnet = ipaddress.ip_network((base, 24))
        if not any(subnet.overlaps(other) for other in taken):
            return ipaddress.IPv4Interface(f"{subnet[1]}/24")
    raise RuntimeError(f"no free /24 in {_SUBNETS}: too many routes")


def _routes() -> list[ipaddress.IPv4Network]:
    listed = subprocess.run(["ip", "-j", "-4", "route"], check=True, capture_output=True, text=True).stdout
    return [
        ipaddress.IPv4Network(route["dst"], strict=False)
        for route in json.loads(listed or "[]")
        if route["dst"] != "default"
    ]
