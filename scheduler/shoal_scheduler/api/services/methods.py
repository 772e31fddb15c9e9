"""Every method of the service Services with its handler."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message
from shoal.rpc import Identity

from shoal_scheduler.api.calls import Handler
from shoal_scheduler.model.refusal import Refused


async def _not_yet(_plane: Any, request: Message, _caller: Identity) -> Message:
    raise Refused(
        "failed_precondition",
        f"{request.DESCRIPTOR.name.removesuffix('Request')}: services are not there yet; run tasks with RunTask.",
        reason="UnsupportedFeatureException",
    )


SERVICES_METHODS: Mapping[str, Handler] = {
    "CreateService": _not_yet,
    "UpdateService": _not_yet,
    "DeleteService": _not_yet,
    "DescribeServices": _not_yet,
    "ListServices": _not_yet,
    "DescribeServiceDeployments": _not_yet,
    "ListServiceDeployments": _not_yet,
    "StopServiceDeployment": _not_yet,
    "DescribeServiceRevisions": _not_yet,
    "UpdateTaskProtection": _not_yet,
    "GetTaskProtection": _not_yet,
}
