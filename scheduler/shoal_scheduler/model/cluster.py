"""A cluster: a named set of instances."""

from typing import Any

import msgspec


class Cluster(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    created_at: int  # milliseconds since the epoch, as all times here

    # ACTIVE, or INACTIVE once deleted.
    status: str = "ACTIVE"

    # settings, configuration, serviceConnectDefaults... as AWS JSON, returned as they were given.
    document: dict[str, Any] = {}
    tags: dict[str, str] = {}
