"""The contract has what the published model of AWS Batch has, in the same words; what it leaves out is named here."""

from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor
from shoal.v1 import batch_pb2, job_definition_pb2, job_pb2, job_queue_pb2, resource_pb2, task_definition_pb2

FILES = (job_definition_pb2, job_queue_pb2, job_pb2, task_definition_pb2, resource_pb2)
MODEL = {
    line.split()[0]: line.split()[1:]
    for line in (Path(__file__).parents[1] / "fixtures" / "batch_model.txt").read_text().splitlines()
    if not line.startswith("#")
}
OPERATIONS = [name.removesuffix("Response") for name in MODEL if name.endswith("Response")]

# Called otherwise here, because Amazon ECS has the same under this name, or something else under theirs.
CALLED = {
    "Host": "HostVolumeProperties",
    "TaskContainerDependency": "ContainerDependency",
    "NetworkConfiguration": "JobNetworkConfiguration",
    "NetworkInterface": "JobNetworkInterface",
}

# Refused as a whole, by the field that has it, so that their members are not spelled out.
REFUSED = {
    "NodeProperties",
    "NodeOverrides",
    "EksProperties",
    "EksPropertiesOverride",
    "EksConfiguration",
    "EksConfigurationUpdate",
    "ComputeResource",
    "ComputeResourceUpdate",
    "UpdatePolicy",
    "EcsSettings",
    "ServiceEnvironmentOrder",
}

# Of answers: what could only be about something that is refused.
NEVER_ANSWERED = {
    "ComputeEnvironmentDetail": {
        *("computeResources", "serviceRole", "updatePolicy", "eksConfiguration", "context", "ecsSettings"),
    },
    "JobDefinition": {"nodeProperties", "eksProperties"},
    "JobDetail": {"nodeProperties", "nodeDetails", "eksProperties", "eksAttempts"},
    "JobSummary": {"nodeProperties"},
    "JobQueueDetail": {"schedulingPolicyArn", "serviceEnvironmentOrder"},
    "GetJobQueueSnapshotResponse": {"frontOfQuotaShares"},
    "QueueSnapshotUtilizationDetail": {"fairshareUtilization", "quotaShareUtilization"},
}


def message(name: str) -> Descriptor | None:
    found = (each.DESCRIPTOR.message_types_by_name.get(CALLED.get(name, name)) for each in FILES)
    return next((each for each in found if each is not None), None)


def spelled_out() -> set[str]:
    """Types of the model that the contract has to have: those that are reached from its operations past what is
    refused or never answered."""
    known = {CALLED.get(name, name): name for name in MODEL}
    waiting = [f"{name}{kind}" for name in OPERATIONS for kind in ("Request", "Response")]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        descriptor = message(name)
        assert descriptor is not None, name
        types = (field.message_type for field in descriptor.fields if field.message_type is not None)
        waiting.extend(known[each.name] for each in types if each.name in known)
    return reached


def test_the_service_has_the_operations() -> None:
    service = batch_pb2.DESCRIPTOR.services_by_name["Batch"]
    assert {method.name for method in service.methods} == set(OPERATIONS)


@pytest.mark.parametrize("name", sorted(spelled_out()))
def test_a_type_has_the_members_of_the_model(name: str) -> None:
    descriptor = message(name)
    assert descriptor is not None
    fields = {field.json_name: field.number for field in descriptor.fields}
    if name in REFUSED:
        assert fields == {}
        return
    assert set(MODEL[name]) - fields.keys() == NEVER_ANSWERED.get(name, set())
    added = fields.keys() - set(MODEL[name])
    shared_with_ecs = descriptor.file.name.endswith(("task_definition.proto", "resource.proto"))
    assert shared_with_ecs or all(fields[field] >= 600 for field in added), added
