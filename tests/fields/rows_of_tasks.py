"""Rows of the fields beside containerDefinitions."""

from tests.fields.row import NOTED, REFUSED, RUNS, Row

PLACEMENT = "fields/test_placement.py"
FILES = "fields/test_files.py"
KERNEL = "fields/test_kernel.py"
NETWORK = "fields/test_network.py"
RESOURCES = "fields/test_resources.py"
NOTES = "fields/test_notes.py::test_what_is_noted"
REFUSALS = "fields/test_refusals.py::test_what_is_refused_by_name"
DESCRIBED = "api/test_definitions.py::test_is_described_as_it_was_registered"
FIXED_DRIVER = "The local driver's options, and other drivers, only where an agent says `allow_privileged`."

GROUPS: dict[str, tuple[Row, ...]] = {
    "The task": (
        Row("family", RUNS, DESCRIBED),
        Row("tags[]", RUNS, "api/test_tags.py::test_each_kind_can_be_tagged_and_untagged", whole=True),
        Row("cpu", RUNS, f"{RESOURCES}::test_a_task_s_limits_hold_for_a_container_without_its_own"),
        Row("memory", RUNS, f"{RESOURCES}::test_a_task_s_limits_hold_for_a_container_without_its_own"),
        Row("placementConstraints[]", RUNS, f"{PLACEMENT}::test_placement_constraints", whole=True),
        Row(
            "requiresCompatibilities[]",
            RUNS,
            f"{PLACEMENT}::test_compatibilities",
            "FARGATE and MANAGED_INSTANCES run on the cluster's own instances; the rules of FARGATE are checked.",
        ),
        Row(
            "runtimePlatform",
            RUNS,
            f"{PLACEMENT}::test_runtime_platform",
            "There is no agent for Windows.",
            True,
        ),
        Row("networkMode", RUNS, f"{NETWORK}::test_host_network", "awsvpc: see the warning at registration."),
        Row("pidMode", RUNS, f"{KERNEL}::test_namespaces_of_the_host", "`host` only with `allow_host_namespaces`."),
        Row("ipcMode", RUNS, f"{KERNEL}::test_namespaces_of_the_host", "`host` only with `allow_host_namespaces`."),
        Row("executionRoleArn", NOTED, NOTES, "Images and logs need no role here."),
        Row("taskRoleArn", REFUSED, REFUSALS, "Roles are not given to tasks yet."),
        Row("proxyConfiguration", NOTED, NOTES, "No proxy is set up.", True),
        Row("inferenceAccelerators[]", REFUSED, REFUSALS, "There are none.", True),
        Row("ephemeralStorage", NOTED, NOTES, "A task may use the instance's disk.", True),
        Row("enableFaultInjection", NOTED, NOTES),
        Row("trustedExecutionConfiguration", REFUSED, REFUSALS, "Instances have none to offer.", True),
    ),
    "Volumes": (
        Row("volumes[]", RUNS, f"{FILES}::test_volumes_of_scope_task_are_named_after_it", "Goes with its task."),
        Row("volumes[].name", RUNS, f"{FILES}::test_volumes_of_scope_task_are_named_after_it"),
        Row(
            "volumes[].host",
            RUNS,
            f"{FILES}::test_a_folder_of_the_host",
            "Only below a folder in the agent's `host_mounts`, links resolved.",
            True,
        ),
        Row("volumes[].dockerVolumeConfiguration", RUNS, f"{FILES}::test_driver_options"),
        Row(
            "volumes[].dockerVolumeConfiguration.scope",
            RUNS,
            f"{FILES}::test_shared_volumes_keep_their_name_driver_and_labels",
            "A shared volume is the instance's.",
        ),
        Row(
            "volumes[].dockerVolumeConfiguration.autoprovision",
            RUNS,
            f"{FILES}::test_a_shared_volume_is_not_made_unless_it_says_so",
            "Unless true, a shared volume has to be there, or the task fails.",
        ),
        Row("volumes[].dockerVolumeConfiguration.driver", RUNS, f"{FILES}::test_other_drivers", FIXED_DRIVER),
        Row(
            "volumes[].dockerVolumeConfiguration.driverOpts{}",
            RUNS,
            f"{FILES}::test_driver_options",
            f"{FIXED_DRIVER} NFS of a server in its `nfs_servers`, too: "
            '`{"type": "nfs", "o": "addr=10.0.0.5,rw", "device": ":/exports/data"}`.',
        ),
        Row(
            "volumes[].dockerVolumeConfiguration.labels{}",
            RUNS,
            f"{FILES}::test_shared_volumes_keep_their_name_driver_and_labels",
        ),
        Row(
            "volumes[].efsVolumeConfiguration",
            REFUSED,
            REFUSALS,
            "There is no EFS on your own instances; mount an NFS server by dockerVolumeConfiguration.",
            True,
        ),
        Row("volumes[].s3filesVolumeConfiguration", REFUSED, REFUSALS, "There is no S3 to mount.", True),
        Row("volumes[].fsxWindowsFileServerVolumeConfiguration", REFUSED, REFUSALS, "There is no FSx.", True),
        Row("volumes[].configuredAtLaunch", REFUSED, REFUSALS, "Volumes cannot be made at launch yet."),
    ),
}
