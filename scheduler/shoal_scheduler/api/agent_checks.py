"""How much an agent may say. Its host may be hostile: nothing of it is stored before it was bounded here.

Numbers and words that are wrong are refused with their field and end the session; texts for people are cut.
"""

import ipaddress
import math
import re
from collections.abc import Iterable, Mapping, Sized

from shoal import requirements
from shoal.problems import quoted
from shoal.v1 import agent_pb2 as pb
from shoal.v1 import resource_pb2, task_pb2

from shoal_scheduler.api.fields import refuse
from shoal_scheduler.api.validate_names import attribute_problems, name_problems, tags_problems
from shoal_scheduler.model.refusal import invalid_field

# Those of every instance, and some of its cluster's own.
RESOURCES_MAX = 40
SET_VALUES_MAX = 1000
ATTRIBUTES_MAX = 100
CONTAINERS_MAX = 10

# Of all containers of a task together: they are stored with it, 256 tasks to a record.
BINDINGS_MAX = 200
INTERFACES_MAX = 1
TASK_ID_CHARACTERS_MAX = 64
PORT_MAX = 65_535

# Of a notice that a host goes: a week.
NOTICE_MILLIS_MAX = 7 * 86_400 * 1000

# The last millisecond of the year 9999.
TIME_MAX = 253_402_300_799_999

STATUSES = frozenset(
    ("PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED"),
)
ENGINE_STATUSES = frozenset(("", "OK", "IMPAIRED"))
_HEALTH_STATUSES = frozenset(("", "HEALTHY", "UNHEALTHY", "UNKNOWN"))
_STOP_CODE = re.compile(r"[A-Za-z]{0,64}")
_PORT = re.compile(r"[0-9]{1,5}")
_RUN = re.compile(r"[0-9a-f]{0,64}")
_ID = re.compile(r"[!-~]{0,512}")


def text(value: str, characters_max: int) -> str:
    """What a person will read: cut, and without what a terminal would obey."""
    cut = value[:characters_max]
    return cut if cut.isprintable() else "".join(each if each.isprintable() else " " for each in cut)


def check_hello(hello: pb.Hello) -> None:
    """Raises Refused."""
    if hello.incarnation <= 0:
        raise invalid_field("hello.incarnation", "must be above 0.")
    if not _RUN.fullmatch(hello.run_id):
        raise invalid_field("hello.runId", "has at most 64 hexadecimal digits.")
    _at_most("hello.resources", hello.resources, RESOURCES_MAX)
    for index, resource in enumerate(hello.resources):
        _check_resource(f"hello.resources[{index}]", resource)
    _at_most("hello.attributes", hello.attributes, ATTRIBUTES_MAX)
    for index, attribute in enumerate(hello.attributes):
        document = {"name": attribute.name} | ({"value": attribute.value} if attribute.value else {})
        refuse(attribute_problems(f"hello.attributes[{index}]", document), "InvalidParameterException")
    check_engine_status("hello.engine.engineStatus", hello.engine)
    check_notice("hello.interruption", hello.interruption)
    tags = [{"key": tag.key, "value": tag.value} for tag in hello.tags[:1000]]
    refuse(tags_problems("hello.tags", tags), "InvalidParameterException")


def check_engine_status(field: str, heartbeat: pb.Heartbeat) -> None:
    """Raises Refused."""
    _one_of(field, heartbeat.engine_status, ENGINE_STATUSES)


def check_notice(field: str, notice: pb.HostInterruption) -> None:
    """Raises Refused."""
    if not 0 <= notice.remaining_millis <= NOTICE_MILLIS_MAX:
        raise invalid_field(f"{field}.remainingMillis", f"must be from 0 to {NOTICE_MILLIS_MAX}.")


def _check_resource(field: str, resource: resource_pb2.Resource) -> None:
    _at_most(f"{field}.stringSetValue", resource.string_set_value, SET_VALUES_MAX)
    if resource.integer_value < 0 or resource.long_value < 0:
        raise invalid_field(f"{field}.integerValue", "must not be negative.")
    if not math.isfinite(resource.double_value):
        raise invalid_field(f"{field}.doubleValue", "must be a number.")
    if is_custom(resource) and (wrong := requirements.name_problem(resource.name)):
        raise invalid_field(f"{field}.name", f"{quoted(resource.name)} {wrong}.")
    is_port = resource.name in ("PORTS", "PORTS_UDP")
    for index, value in enumerate(resource.string_set_value):
        if is_port and not (_PORT.fullmatch(value) and int(value) <= PORT_MAX):
            raise invalid_field(f"{field}.stringSetValue[{index}]", f"must be a port, 0 to {PORT_MAX}.")
        _check_id(f"{field}.stringSetValue[{index}]", value)


def is_custom(resource: resource_pb2.Resource) -> bool:
    """True for a resource of the cluster's own, such as licences. What else is not known, a newer agent says."""
    return resource.type == "INTEGER" and resource.name not in (requirements.GPU, *requirements.INSTANCE_RESOURCES)


def check_report(field: str, report: pb.TaskReport) -> None:
    """Raises Refused."""
    if len(report.task_id) > TASK_ID_CHARACTERS_MAX:
        raise invalid_field(f"{field}.taskId", f"has more than {TASK_ID_CHARACTERS_MAX} characters.")
    _one_of(f"{field}.lastStatus", report.last_status, STATUSES)
    times = {
        "pullStartedAt": report.pull_started_at,
        "pullStoppedAt": report.pull_stopped_at,
        "startedAt": report.started_at,
        "executionStoppedAt": report.execution_stopped_at,
    }
    _check_times(field, times)
    if not _STOP_CODE.fullmatch(report.stop_code):
        raise invalid_field(f"{field}.stopCode", "is one word of at most 64 letters.")
    _at_most(f"{field}.containers", report.containers, CONTAINERS_MAX)
    bindings = sum(len(container.network_bindings) for container in report.containers)
    if bindings > BINDINGS_MAX:
        raise invalid_field(f"{field}.containers", f"have {bindings} networkBindings, at most {BINDINGS_MAX} may be.")
    for index, container in enumerate(report.containers):
        _check_container(f"{field}.containers[{index}]", container)


def _check_container(field: str, container: task_pb2.Container) -> None:
    refuse(name_problems(f"{field}.name", container.name), "InvalidParameterException")
    _one_of(f"{field}.lastStatus", container.last_status, STATUSES | {""})
    _one_of(f"{field}.healthStatus", container.health_status, _HEALTH_STATUSES)
    if container.restart_count < 0:
        raise invalid_field(f"{field}.restartCount", "must not be negative.")
    _check_id(f"{field}.runtimeId", container.runtime_id)
    _check_id(f"{field}.imageDigest", container.image_digest)
    for index, binding in enumerate(container.network_bindings):
        at = f"{field}.networkBindings[{index}]"
        if not (0 <= binding.container_port <= PORT_MAX and 0 <= binding.host_port <= PORT_MAX):
            raise invalid_field(f"{at}.hostPort", f"and containerPort must be 0 to {PORT_MAX}.")
        _one_of(f"{at}.protocol", binding.protocol, ("", "tcp", "udp", "sctp"))
        _check_id(f"{at}.bindIP", binding.bind_ip)
    _at_most(f"{field}.networkInterfaces", container.network_interfaces, INTERFACES_MAX)
    for index, interface in enumerate(container.network_interfaces):
        _check_ipv4(f"{field}.networkInterfaces[{index}].privateIpv4Address", interface.private_ipv4_address)


def _check_ipv4(field: str, value: str) -> None:
    try:
        ipaddress.IPv4Address(value)
    except ValueError:
        raise invalid_field(field, f"{quoted(value)} is no IPv4 address, such as 172.17.0.2.") from None


def _check_times(field: str, times: Mapping[str, int]) -> None:
    for name, millis in times.items():
        if not 0 <= millis <= TIME_MAX:
            raise invalid_field(f"{field}.{name}", "must be milliseconds since 1970, before the year 10000.")


def _check_id(field: str, value: str) -> None:
    if not _ID.fullmatch(value):
        raise invalid_field(field, "has at most 512 visible ASCII characters.")


def _one_of(field: str, value: str, words: Iterable[str]) -> None:
    if value not in words:
        raise invalid_field(field, f"must be one of {', '.join(sorted(filter(None, words)))}.")


def _at_most(field: str, values: Sized, most: int) -> None:
    if len(values) > most:
        raise invalid_field(field, f"has {len(values)} entries; at most {most} are allowed.")
