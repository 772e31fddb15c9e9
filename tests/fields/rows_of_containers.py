"""Rows of containerDefinitions."""

from collections.abc import Iterable

from tests.fields.row import NOTED, REFUSED, RUNS, Row
from tests.fields.rows_of_tasks import FILES, KERNEL, NETWORK, NOTES, REFUSALS, RESOURCES

C = "containerDefinitions[]"
PROCESS = "fields/test_process.py"
SEVERAL = "integration/test_several_containers.py"
HEALTH = "fields/test_health_and_logs.py::test_health_check"
LOGS = "fields/test_health_and_logs.py::test_log_options"
IF_ALLOWED = "Only where an agent's configuration allows it"


def _of_container(rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(Row(f"{C}.{row.path}", row.verdict, row.test, row.says, row.whole) for row in rows)


_PROCESS = (
    Row("name", RUNS, f"{PROCESS}::test_image_and_name"),
    Row("image", RUNS, f"{PROCESS}::test_image_and_name"),
    Row(
        "versionConsistency",
        RUNS,
        "fields/test_version_consistency.py::test_the_digest_of_what_runs_is_reported",
        "Each instance resolves a tag once for each task it launches, runs that digest and reports it as imageDigest.",
    ),
    Row(
        "repositoryCredentials",
        REFUSED,
        REFUSALS,
        "Secrets are not there yet; agents read a `registry_credentials_file`.",
        True,
    ),
    Row("entryPoint[]", RUNS, f"{PROCESS}::test_entry_point_and_command"),
    Row("command[]", RUNS, f"{PROCESS}::test_entry_point_and_command"),
    Row("user", RUNS, f"{PROCESS}::test_user"),
    Row("workingDirectory", RUNS, f"{PROCESS}::test_working_directory"),
    Row("interactive", RUNS, f"{PROCESS}::test_interactive"),
    Row("pseudoTerminal", RUNS, f"{PROCESS}::test_pseudo_terminal"),
    Row("dockerLabels{}", RUNS, f"{PROCESS}::test_docker_labels", "Those that begin with `shoal.` are ours."),
    Row("environment[]", RUNS, f"{PROCESS}::test_environment", "`TASK_FENCE` is set by the agent.", True),
    Row(
        "environmentFiles[]",
        RUNS,
        f"{PROCESS}::test_environment_files",
        'Of type `file`, which is ours: `"value": "file:///srv/web.env"`, only below a folder in the agent\'s '
        "`environment_file_folders`. Type `s3` registers; RunTask refuses it, as there is no object store yet.",
        True,
    ),
    Row("secrets[]", REFUSED, REFUSALS, "Secrets are not delivered yet.", True),
    Row("credentialSpecs[]", REFUSED, REFUSALS, "Of Windows."),
)

_LIFE = (
    Row("essential", RUNS, f"{SEVERAL}::test_an_essential_container_takes_the_others_with_it"),
    Row("dependsOn[]", RUNS, f"{SEVERAL}::test_up_in_order_and_down_in_the_reverse", whole=True),
    Row("startTimeout", RUNS, f"{SEVERAL}::test_waiting_for_a_condition_ends_with_the_start_timeout"),
    Row("stopTimeout", RUNS, f"{PROCESS}::test_stop_timeout"),
    Row("restartPolicy", RUNS, f"{SEVERAL}::test_a_restart_policy_starts_the_same_container_again", whole=True),
    Row("healthCheck", RUNS, HEALTH, whole=True),
)

_RESOURCES = (
    Row("cpu", RUNS, f"{RESOURCES}::test_cpu", "Shares: what others leave may be used."),
    Row("memory", RUNS, f"{RESOURCES}::test_memory"),
    Row("memoryReservation", RUNS, f"{RESOURCES}::test_memory_reservation", "What placement subtracts."),
    Row(
        "resourceRequirements[]",
        RUNS,
        f"{RESOURCES}::test_gpus",
        "Type GPU, or one that the cluster's own instances offer; InferenceAccelerator and NeuronDevice are refused.",
    ),
    Row("resourceRequirements[].type", RUNS, f"{RESOURCES}::test_gpus"),
    Row("resourceRequirements[].value", RUNS, f"{RESOURCES}::test_gpus", "ALL is refused."),
    Row(
        "resourceRequirements[].sharingStrategy",
        RUNS,
        f"{RESOURCES}::test_a_share_of_a_gpu",
        "Placement counts maxComputePercent; memory limits the container only.",
        True,
    ),
)

_NETWORK = (
    Row("portMappings[]", RUNS, f"{NETWORK}::test_host_port"),
    Row("portMappings[].containerPort", RUNS, f"{NETWORK}::test_host_port"),
    Row("portMappings[].hostPort", RUNS, f"{NETWORK}::test_host_port", "0 or absent: the engine chooses."),
    Row("portMappings[].protocol", RUNS, f"{NETWORK}::test_protocol_and_dynamic_host_port"),
    Row(
        "portMappings[].containerPortRange",
        RUNS,
        f"{NETWORK}::test_container_port_range",
        "Each port gets a dynamic host port of its own.",
    ),
    Row("portMappings[].name", NOTED, NOTES, "Nothing connects services by it yet."),
    Row("portMappings[].appProtocol", NOTED, NOTES, "Nothing connects services by it yet."),
    Row("hostname", RUNS, f"{PROCESS}::test_hostname"),
    Row("dnsServers[]", RUNS, f"{NETWORK}::test_dns_servers"),
    Row("dnsSearchDomains[]", RUNS, f"{NETWORK}::test_dns_search_domains"),
    Row("extraHosts[]", RUNS, f"{NETWORK}::test_extra_hosts", whole=True),
    Row("links[]", RUNS, f"{NETWORK}::test_links", "With networkMode bridge."),
    Row("disableNetworking", RUNS, f"{NETWORK}::test_no_network"),
)

_FILES = (
    Row("readonlyRootFilesystem", RUNS, f"{FILES}::test_read_only_root"),
    Row("mountPoints[]", RUNS, f"{FILES}::test_a_folder_of_the_host"),
    Row("mountPoints[].sourceVolume", RUNS, f"{FILES}::test_a_folder_of_the_host"),
    Row("mountPoints[].containerPath", RUNS, f"{FILES}::test_a_folder_of_the_host"),
    Row("mountPoints[].readOnly", RUNS, f"{FILES}::test_read_only_mounts"),
    Row("volumesFrom[]", RUNS, f"{FILES}::test_volumes_from", whole=True),
    Row("linuxParameters.tmpfs[]", RUNS, f"{FILES}::test_tmpfs", whole=True),
    Row("linuxParameters.sharedMemorySize", RUNS, f"{RESOURCES}::test_shared_memory_size"),
)

_KERNEL = (
    Row("linuxParameters", RUNS, f"{KERNEL}::test_capabilities"),
    Row(
        "linuxParameters.capabilities",
        RUNS,
        f"{KERNEL}::test_capabilities",
        f"Those with which a container can take its host, such as SYS_ADMIN: {IF_ALLOWED.lower()} "
        "(`allow_privileged`).",
        True,
    ),
    Row("linuxParameters.devices[]", RUNS, f"{KERNEL}::test_devices", f"{IF_ALLOWED} (`devices`).", True),
    Row("linuxParameters.initProcessEnabled", RUNS, f"{KERNEL}::test_init_process"),
    Row("linuxParameters.maxSwap", RUNS, f"{RESOURCES}::test_max_swap", "With memory."),
    Row(
        "linuxParameters.swappiness",
        RUNS,
        f"{RESOURCES}::test_swappiness",
        "With maxSwap; a kernel with control groups of version 2 has none.",
    ),
    Row("privileged", RUNS, f"{KERNEL}::test_privileged", f"{IF_ALLOWED} (`allow_privileged`)."),
    Row(
        "dockerSecurityOptions[]",
        RUNS,
        f"{KERNEL}::test_security_options",
        f"no-new-privileges; others: {IF_ALLOWED.lower()} (`allow_privileged`).",
    ),
    Row("ulimits[]", RUNS, f"{KERNEL}::test_ulimits", whole=True),
    Row("systemControls[]", RUNS, f"{KERNEL}::test_system_controls", "Those that a container has of its own.", True),
)

_LOGS = (
    Row("logConfiguration", RUNS, LOGS),
    Row(
        "logConfiguration.logDriver",
        RUNS,
        "unit/agent/test_log_configuration.py::test_a_driver_with_its_options",
        "The engine's drivers as they are; awslogs is the host's own store; awsfirelens is refused. "
        "See [logs](logs.md).",
    ),
    Row(
        "logConfiguration.options{}",
        RUNS,
        LOGS,
        "Those of awslogs without meaning here are noted; files and sockets of the host only below `host_mounts`.",
    ),
    Row("logConfiguration.secretOptions[]", REFUSED, REFUSALS, "Secrets are not delivered to log drivers.", True),
    Row("firelensConfiguration", REFUSED, REFUSALS, "Log routers are not supported yet.", True),
)

GROUPS: dict[str, tuple[Row, ...]] = {
    "A container's process": (Row(C, RUNS, f"{PROCESS}::test_image_and_name"), *_of_container(_PROCESS)),
    "Its life": _of_container(_LIFE),
    "Its resources": _of_container(_RESOURCES),
    "Its network": _of_container(_NETWORK),
    "Its files": _of_container(_FILES),
    "Its kernel": _of_container(_KERNEL),
    "Its logs": _of_container(_LOGS),
}
