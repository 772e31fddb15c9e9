"""The contract of services has what the published model of Amazon ECS has, in the same words; what it leaves out is
named here."""

from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor
from shoal.v1 import resource_pb2, service_pb2, services_pb2, task_definition_pb2, task_pb2

FILES = (service_pb2, task_pb2, task_definition_pb2, resource_pb2)
MODEL = {
    line.split()[0]: line.split()[1:]
    for line in (Path(__file__).parents[1] / "fixtures" / "services_model.txt").read_text().splitlines()
    if not line.startswith("#")
}
OPERATIONS = [name.removesuffix("Response") for name in MODEL if name.endswith("Response")]

# Called otherwise here, because the names of the contract are those of all its services together.
CALLED = {
    "AdvancedConfiguration": "LoadBalancerAdvancedConfiguration",
    "CreatedAt": "CreatedAtRange",
    "Rollback": "ServiceDeploymentRollback",
}

# Refused as a whole, or never answered, by the field that has it, so that their members are not spelled out.
EMPTY = {
    "GatewayConnector",
    "HookDetails",
    "MonitoringConfiguration",
    "ServiceConnectAccessLogConfiguration",
    "ServiceConnectContainerConfiguration",
    "ServiceConnectService",
    "ServiceVolumeConfiguration",
    "TaskSet",
    "VpcLatticeConfiguration",
}

# Of answers: what could only be about something that is refused.
_REFUSED = {"serviceConnectConfiguration", "volumeConfigurations", "vpcLatticeConfigurations"}
NEVER_ANSWERED = {
    "Deployment": {"serviceConnectResources", "fargateEphemeralStorage", *_REFUSED},
    "ServiceRevision": {
        *("ecsManagedResources", "fargateEphemeralStorage", "gatewayConnectors", "guardDutyEnabled", "monitoring"),
        *("overrides", "resolvedConfiguration", *_REFUSED),
    },
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
    service = services_pb2.DESCRIPTOR.services_by_name["Services"]
    assert {method.name for method in service.methods} == set(OPERATIONS)


@pytest.mark.parametrize("name", sorted(spelled_out()))
def test_a_type_has_the_members_of_the_model(name: str) -> None:
    descriptor = message(name)
    assert descriptor is not None
    fields = {field.json_name: field.number for field in descriptor.fields}
    if name in EMPTY:
        assert fields == {}
        return
    assert set(MODEL[name]) - fields.keys() == NEVER_ANSWERED.get(name, set())
    if descriptor.file.name.endswith("service.proto"):
        assert all(fields[field] >= 700 for field in fields.keys() - set(MODEL[name]))
