"""What a task definition asks for that is accepted but does nothing here, or not what it does in the cloud.

Nothing is ignored silently: whatever field has no effect is named, with what happens instead.
"""

from collections.abc import Mapping

from shoal.problems import Problem, member, quoted
from shoal.requirements import PUBLISHED

from shoal_scheduler.api.validate_runnable import runnable_problems
from shoal_scheduler.api.validate_values import Document, Problems, is_windows

# With one of these a container can take its instance; agents hand them out only if told to.
_POWERFUL_CAPABILITIES = (
    *("ALL", "BPF", "CHECKPOINT_RESTORE", "DAC_READ_SEARCH", "MAC_ADMIN", "MAC_OVERRIDE", "PERFMON"),
    *("SYS_ADMIN", "SYS_BOOT", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "SYS_TIME"),
)
_JSON_FILE_OPTIONS = ("compress", "env", "env-regex", "labels", "labels-regex", "max-file", "max-size", "tag")
# Ports that instances commonly keep: ssh, the engine, the agent.
_USUALLY_RESERVED = (22, 2375, 2376, 7600)
_IF_ALLOWED = "runs only on instances whose agent allows it"

_TASK_FIELDS = {
    "executionRoleArn": "has no effect: images and logs need no role here",
    "proxyConfiguration": "has no effect yet: no proxy is set up",
    "ephemeralStorage": "has no effect yet: a task may use the instance's disk",
    "enableFaultInjection": "has no effect yet",
    "trustedExecutionConfiguration": "has no effect",
}
_CONTAINER_FIELDS = {
    "repositoryCredentials": "has no effect yet: images are pulled without credentials",
}


def task_definition_warnings(document: Document) -> list[Problem]:
    """Of a definition without problems. What RunTask would refuse for now is among them."""
    return [*_task_warnings(document), *_container_list_warnings(document), *_shared_warnings(document)]


def _task_warnings(document: Document) -> Problems:
    for problem in runnable_problems(document):
        yield Problem(problem.field, f"registered, but cannot be run yet: {problem.message}")
    yield from _without_effect("", document, _TASK_FIELDS)
    mode = document.get("networkMode", "bridge")
    if mode == "awsvpc":
        yield Problem(
            "networkMode",
            "awsvpc gives the task a network of its own on its instance's bridge: its address is reached from that "
            "instance only, from elsewhere its ports are, on dynamic host ports; routed addresses come later",
        )
    elif mode == "default":
        yield Problem("networkMode", "default is the bridge network")
    for key in ("pidMode", "ipcMode"):
        if document.get(key) == "host":
            yield Problem(key, f"host {_IF_ALLOWED}")
    for index, word in enumerate(document.get("requiresCompatibilities", ())):
        if word in ("FARGATE", "MANAGED_INSTANCES"):
            yield Problem(f"requiresCompatibilities[{index}]", f"{word} runs on this cluster's own instances")
    if is_windows(document):
        yield Problem("runtimePlatform.operatingSystemFamily", "no agent of this version runs Windows containers")
    for index, volume in enumerate(document.get("volumes", ())):
        yield from _volume_warnings(f"volumes[{index}]", volume)


def _volume_warnings(path: str, volume: Document) -> Problems:
    if volume.get("host", {}).get("sourcePath"):
        source = quoted(volume["host"]["sourcePath"])
        yield Problem(f"{path}.host.sourcePath", f"{source} {_IF_ALLOWED}")
    docker = volume.get("dockerVolumeConfiguration", {})
    for key in ("driver", "driverOpts"):
        # The options of the local driver can bind any folder or device of the instance.
        if docker.get(key, "local") != "local":
            yield Problem(f"{path}.dockerVolumeConfiguration.{key}", _IF_ALLOWED)
    if docker.get("scope") == "shared" and docker.get("autoprovision") is False:
        field = f"{path}.dockerVolumeConfiguration.autoprovision"
        yield Problem(field, "has no effect: a shared volume that does not exist is made")


def _container_list_warnings(document: Document) -> Problems:
    mode = document.get("networkMode", "bridge")
    for index, container in enumerate(document.get("containerDefinitions", ())):
        path = f"containerDefinitions[{index}]"
        yield from _without_effect(path, container, _CONTAINER_FIELDS)
        yield from _container_warnings(path, container)
        yield from _environment_warnings(path, container)
        yield from _network_warnings(path, container, mode)
        for number, requirement in enumerate(container.get("resourceRequirements", ())):
            yield from _requirement_warnings(f"{path}.resourceRequirements[{number}]", requirement)
        yield from _linux_warnings(path, container, has_memory="memory" in document or "memory" in container)
        for number, mapping in enumerate(container.get("portMappings", ())):
            yield from _port_warnings(f"{path}.portMappings[{number}]", mapping, mode)


def _shared_warnings(document: Document) -> Problems:
    """Of what several containers ask for, and the task has once."""
    containers = list(enumerate(document.get("containerDefinitions", ())))
    if document.get("networkMode") == "awsvpc":
        on_network = [(index, each) for index, each in containers if not each.get("disableNetworking")]
        yield from _hostname_warnings(on_network)
        yield from _shared_port_warnings(on_network)
    if document.get("ipcMode") == "task":
        sizes = {index: each.get("linuxParameters", {}).get("sharedMemorySize") for index, each in containers}
        biggest = max(filter(None, sizes.values()), default=0)
        for index, size in sizes.items():
            if size and size < biggest:
                field = f"containerDefinitions[{index}].linuxParameters.sharedMemorySize"
                yield Problem(field, f"has no effect: the task has one /dev/shm, and it has {biggest} MiB")


def _hostname_warnings(containers: list[tuple[int, Document]]) -> Problems:
    named = [(index, each["hostname"]) for index, each in containers if each.get("hostname")]
    for index, name in named[1:]:
        if name != named[0][1]:
            message = f"has no effect: the task has one network and one host name, {quoted(named[0][1])}"
            yield Problem(f"containerDefinitions[{index}].hostname", message)


def _shared_port_warnings(containers: list[tuple[int, Document]]) -> Problems:
    first: dict[tuple[int, str], Document] = {}
    for index, container in containers:
        for number, mapping in enumerate(container.get("portMappings", ())):
            port = mapping.get("containerPort", 0), mapping.get("protocol", "tcp")
            owner = first.setdefault(port, container)
            if port[0] and owner is not container:
                field = f"containerDefinitions[{index}].portMappings[{number}].containerPort"
                message = f"is also {quoted(owner['name'])}'s: on the task's one network only one of them can listen"
                yield Problem(field, message)


def _container_warnings(path: str, container: Document) -> Problems:
    if container.get("versionConsistency") == "enabled":
        yield Problem(f"{path}.versionConsistency", "has no effect yet: each instance resolves the tag itself")
    log = container.get("logConfiguration", {})
    if log and log.get("logDriver") != "json-file":
        yield Problem(
            f"{path}.logConfiguration",
            f"{log.get('logDriver')} is not used: logs are kept on the instance by the json-file driver",
        )
    else:
        for key in log.get("options", {}):
            if key not in _JSON_FILE_OPTIONS:
                yield Problem(member(f"{path}.logConfiguration.options", key), "has no effect: json-file has no such")
    if log.get("secretOptions"):
        yield Problem(f"{path}.logConfiguration.secretOptions", "has no effect: logs are sent nowhere")
    if container.get("privileged"):
        yield Problem(f"{path}.privileged", _IF_ALLOWED)
    for index, option in enumerate(container.get("dockerSecurityOptions", ())):
        if not option.startswith("no-new-privileges"):
            yield Problem(f"{path}.dockerSecurityOptions[{index}]", f"{quoted(option)} {_IF_ALLOWED}")


def _environment_warnings(path: str, container: Document) -> Problems:
    names: dict[str, str] = {}
    for index, variable in enumerate(container.get("environment", ())):
        field, name = f"{path}.environment[{index}].name", variable["name"]
        if name in names:
            yield Problem(field, f"{quoted(name)} is also set by {names[name]}; this one wins")
        if name == "TASK_FENCE":
            yield Problem(field, "is set by the agent: its value is the one the task sees")
        names[name] = field


def _network_warnings(path: str, container: Document, mode: str) -> Problems:
    if mode == "host" and "hostname" in container:
        yield Problem(f"{path}.hostname", "has no effect with networkMode host: it is the instance's")
    if container.get("disableNetworking") and container.get("portMappings"):
        yield Problem(f"{path}.portMappings", "has no effect with disableNetworking")


def _requirement_warnings(path: str, requirement: Document) -> Problems:
    kind = requirement["type"]
    if kind not in PUBLISHED:
        rule = f"resources = {{ {quoted(kind) if '.' in kind else kind} = N }} in its agent's configuration"
        yield Problem(f"{path}.type", f"{kind} is none of ECS's: runs only on instances that offer it, by {rule}")
    mps = requirement.get("sharingStrategy", {}).get("nvidiaMps", {})
    if not mps:
        return
    yield Problem(
        f"{path}.sharingStrategy.nvidiaMps.memory",
        "limits the container, but is not counted: GPUs are shared out by maxComputePercent",
    )
    if mps.get("maxComputePercent", 100) == 100:
        yield Problem(
            f"{path}.sharingStrategy.nvidiaMps.maxComputePercent",
            "without it, or with 100, the task takes all of a GPU",
        )


def _linux_warnings(path: str, container: Document, *, has_memory: bool) -> Problems:
    parameters = container.get("linuxParameters", {})
    if "maxSwap" in parameters and not has_memory:
        yield Problem(f"{path}.linuxParameters.maxSwap", "has no effect without memory")
    if "swappiness" in parameters and not (has_memory and "maxSwap" in parameters):
        yield Problem(f"{path}.linuxParameters.swappiness", "has no effect without memory and maxSwap")
    if parameters.get("devices"):
        yield Problem(f"{path}.linuxParameters.devices", _IF_ALLOWED)
    for index, name in enumerate(parameters.get("capabilities", {}).get("add", ())):
        if name in _POWERFUL_CAPABILITIES:
            yield Problem(f"{path}.linuxParameters.capabilities.add[{index}]", f"{name} {_IF_ALLOWED}")


def _port_warnings(path: str, mapping: Document, mode: str) -> Problems:
    port, host_port = mapping.get("containerPort"), mapping.get("hostPort")
    if mode == "awsvpc" and host_port and host_port != port:
        yield Problem(f"{path}.hostPort", f"{host_port} is not used with awsvpc; the host port is dynamic")
    taken = port if mode == "host" else host_port
    if mode != "awsvpc" and taken in _USUALLY_RESERVED:
        yield Problem(f"{path}.hostPort", f"{taken} is kept by most instances for themselves; few can run this")
    if "containerPortRange" in mapping:
        own = "takes these ports of the instance for the task, with networkMode host"
        dynamic = "each port gets a dynamic host port of its own"
        yield Problem(f"{path}.containerPortRange", own if mode == "host" else dynamic)
    for key in ("name", "appProtocol"):
        if key in mapping:
            yield Problem(f"{path}.{key}", "has no effect yet: nothing connects services by it")


def _without_effect(path: str, document: Document, fields: Mapping[str, str]) -> Problems:
    for key, message in fields.items():
        if document.get(key) not in (None, False, ""):
            yield Problem(f"{path}.{key}" if path else key, message)
