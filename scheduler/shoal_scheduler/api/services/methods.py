"""Every method of the service Services with its handler."""

from collections.abc import Mapping

from shoal_scheduler.api.calls import Handler
from shoal_scheduler.api.services import deployments, protection, services

SERVICES_METHODS: Mapping[str, Handler] = {
    "CreateService": services.create,
    "UpdateService": services.update,
    "DeleteService": services.delete,
    "DescribeServices": services.describe,
    "ListServices": services.list_all,
    "DescribeServiceDeployments": deployments.describe,
    "ListServiceDeployments": deployments.list_all,
    "StopServiceDeployment": deployments.stop,
    "DescribeServiceRevisions": deployments.describe_revisions,
    "UpdateTaskProtection": protection.update,
    "GetTaskProtection": protection.get,
}
