"""One container of the engine in memory."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shoal_agent.engine.port import Attached, LogLine, Port


@dataclass(slots=True)
class Box:
    container_id: str
    name: str
    body: Mapping[str, Any]
    state: str = "created"
    exit_code: int = 0
    oom_killed: bool = False
    oom_noted_late: bool = False  # after its end had been told
    error: str = ""
    trapped: int | None = None  # what it answers SIGTERM with
    health_status: str | None = None
    created_at: int = 0
    address: str = ""
    started_at: int | None = None
    finished_at: int | None = None
    starts: int = 0
    host_ports: dict[str, int] = field(default_factory=dict)
    output: list[LogLine] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def labels(self) -> Mapping[str, str]:
        return self.body.get("Labels") or {}

    @property
    def networks(self) -> tuple[Attached, ...]:
        """None of its own if it shares another container's."""
        shares = self.body.get("HostConfig", {}).get("NetworkMode", "").startswith("container:")
        return (Attached("bridge", self.address),) if self.state == "running" and not shares else ()

    @property
    def ports(self) -> tuple[Port, ...]:
        split = ((key.partition("/"), host_port) for key, host_port in self.host_ports.items())
        return tuple(Port(int(number), host_port, protocol) for (number, _, protocol), host_port in split)
