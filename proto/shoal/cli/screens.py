"""Descriptions for people: what `describe` prints of each kind of thing."""

from collections.abc import Iterable, Sequence
from typing import Any

import click

from shoal import arn
from shoal.cli import batch_things, instance_words, tasks, text
from shoal.cli.job_describe import show_job
from shoal.cli.service_describe import show_service
from shoal.cli.show import Table, plain_lines, print_fields
from shoal.v1 import (
    cluster_pb2,
    container_instance_pb2,
    image_pb2,
    job_pb2,
    resource_pb2,
    service_pb2,
    task_definition_pb2,
    task_pb2,
)

Fields = Sequence[tuple[str, str]]


def show_answer(answer: Any, now_millis: int) -> None:
    match answer:
        case task_pb2.DescribeTasksResponse():
            for task in answer.tasks:
                show_task(task, now_millis)
        case container_instance_pb2.DescribeContainerInstancesResponse():
            for instance in answer.container_instances:
                show_instance(instance, now_millis)
        case task_definition_pb2.DescribeTaskDefinitionResponse():
            show_definition(answer.task_definition, answer.tags, now_millis)
        case job_pb2.DescribeJobsResponse():
            for job in answer.jobs:
                show_job(job, now_millis)
        case service_pb2.DescribeServicesResponse():
            for service in answer.services:
                show_service(service, now_millis)
        case cluster_pb2.DescribeClustersResponse():
            for cluster in answer.clusters:
                show_cluster(cluster)
        case _:
            batch_things.show_answer(answer)


def show_task(task: task_pb2.Task, now_millis: int) -> None:
    task_id = tasks.task_id(task)
    fields = [
        ("Id", task_id),
        ("Definition", arn.short(task.task_definition_arn)),
        ("Status", tasks.status(task, now_millis)),
        ("Wanted", task.desired_status),
        ("Health", task.health_status if any(each.health_status for each in task.containers) else ""),
        ("Why", task.stopped_reason or task.waiting_reason or task.disconnect_reason),
        ("Stop code", task.stop_code),
        ("If host lost", task.on_disconnect),
        ("Replaces", arn.short(task.replaces)),
        ("Replaced by", arn.short(task.replaced_by)),
        ("Cluster", arn.short(task.cluster_arn)),
        ("Instance", arn.short(task.container_instance_arn)),
        ("Group", task.group),
        ("Started by", task.started_by),
        ("Cpu", task.cpu),
        ("Memory", text.mebibytes(int(task.memory)) if task.memory.isdigit() else task.memory),
        *_moments(
            ("Created", task.created_at),
            ("Pulled", task.pull_stopped_at),
            ("Started", task.started_at),
            ("Stopping", task.stopping_at),
            ("Stopped", task.stopped_at),
        ),
        ("Tags", _tags(task.tags)),
    ]
    print_fields(f"Task {text.short_task(task_id)}", fields)
    for container in task.containers:
        _show_container(container)
    _show_trace(task.trace)


def show_instance(instance: container_instance_pb2.ContainerInstance, now_millis: int) -> None:
    instance_id = arn.short(instance.container_instance_arn)
    left = {each.name: each for each in instance.remaining_resources}
    resources = [_room(each, left.get(each.name)) for each in instance.registered_resources]
    fields = [
        ("Id", instance_id),
        ("Host", instance.ec2_instance_id),
        ("Status", instance_words.status(instance, now_millis)),
        ("Why", instance.status_reason),
        ("Agent", f"{'connected' if instance.agent_connected else 'not connected'}"),
        ("Health", "\n".join(map(_health_check, instance.health_status.details))),
        ("Versions", _versions(instance.version_info)),
        ("Tasks", f"{instance.running_tasks_count} running, {instance.pending_tasks_count} pending"),
        ("Resources", "\n".join(resources)),
        *_moments(("Registered", instance.registered_at)),
        (
            "Attributes",
            "\n".join(f"{each.name}={each.value}" if each.value else each.name for each in instance.attributes),
        ),
        ("Tags", _tags(instance.tags)),
        ("Images", "\n".join(sorted(map(_held_image, instance.images)))),
    ]
    print_fields(f"Instance {text.short_instance(instance_id)}", fields)


def _held_image(image: image_pb2.HeldImage) -> str:
    """`nginx:1.27  187 MiB`; what has lost its tags goes by its digest, or by the engine's id."""
    names = image.image_tags or image.image_digests or [image.image_id]
    return f"{', '.join(names)}  {text.size(image.image_size_in_bytes)}"


def _health_check(check: container_instance_pb2.InstanceHealthCheckResult) -> str:
    """`CONTAINER_RUNTIME IMPAIRED: The container engine does not answer`"""
    return f"{check.type} {check.status}{f': {check.status_reason}' if check.status_reason else ''}"


def show_definition(
    definition: task_definition_pb2.TaskDefinition, tags: Iterable[resource_pb2.Tag], now_millis: int
) -> None:
    fields = [
        ("Status", definition.status),
        ("Network", definition.network_mode),
        ("Cpu", definition.cpu),
        ("Memory", definition.memory),
        ("Needs", ", ".join(definition.requires_compatibilities)),
        ("Volumes", ", ".join(each.name for each in definition.volumes)),
        ("Placement", "\n".join(f"{each.type}({each.expression})" for each in definition.placement_constraints)),
        *_moments(("Registered", definition.registered_at), ("Deregistered", definition.deregistered_at)),
        ("By", definition.registered_by),
        ("Tags", _tags(tags)),
    ]
    print_fields(f"Task definition {definition.family}:{definition.revision}", fields)
    for container in definition.container_definitions:
        print_fields(
            f"  Container {container.name}", [(f"  {name}", value) for name, value in _definition_of(container)]
        )


def show_cluster(cluster: cluster_pb2.ClusterDescription) -> None:
    fields = [
        ("Arn", cluster.cluster_arn),
        ("Status", cluster.status),
        ("Instances", str(cluster.registered_container_instances_count)),
        ("Tasks", f"{cluster.running_tasks_count} running, {cluster.pending_tasks_count} pending"),
        ("Services", str(cluster.active_services_count)),
        ("Settings", "\n".join(f"{each.name}={each.value}" for each in cluster.settings)),
        ("Statistics", "\n".join(f"{each.name}={each.value}" for each in cluster.statistics)),
        ("Tags", _tags(cluster.tags)),
    ]
    print_fields(f"Cluster {cluster.cluster_name}", fields)


def _show_container(container: task_pb2.Container) -> None:
    code = str(container.exit_code) if container.HasField("exit_code") else ""
    ports = tasks.ports(task_pb2.Task(containers=[container]))
    fields = [
        ("  Image", container.image),
        ("  Digest", container.image_digest),
        ("  Status", container.last_status),
        ("  Exit code", code),
        ("  Why", container.reason),
        ("  Health", container.health_status),
        ("  Restarts", str(container.restart_count or "")),
        ("  Ports", ports),
        ("  GPUs", ", ".join(container.gpu_ids)),
        ("  Docker id", container.runtime_id[:12]),
    ]
    print_fields(f"  Container {container.name}", fields)


def _show_trace(trace: Sequence[task_pb2.Span]) -> None:
    if not trace:
        return
    begin = min(span.start_micros for span in trace)
    rows = [
        (span.name, f"{(span.start_micros - begin) / 1000:.2f}", f"{span.duration_micros / 1000:.2f}") for span in trace
    ]
    click.echo(click.style("  Where the time went", bold=True))
    for line in plain_lines(Table(("STEP", "AT MS", "TOOK MS"), rows)):
        click.echo(f"    {line}")


def _definition_of(container: task_definition_pb2.ContainerDefinition) -> Fields:
    ports = (
        f"{each.host_port or 'any'}->{each.container_port}/{each.protocol or 'tcp'}" for each in container.port_mappings
    )
    limits = {"cpu": container.cpu, "memory": container.memory, "reserved": container.memory_reservation}
    essential = "no" if container.HasField("essential") and not container.essential else ""
    return [
        ("Image", container.image),
        ("Entry point", " ".join(container.entry_point)),
        ("Command", " ".join(container.command)),
        ("Limits", ", ".join(f"{name} {value}" for name, value in limits.items() if value)),
        ("Ports", ", ".join(ports)),
        ("Requires", ", ".join(_requirement(each) for each in container.resource_requirements)),
        ("Essential", essential),
        ("Environment", "\n".join(f"{each.name}={each.value}" for each in container.environment)),
        ("Mounts", "\n".join(f"{each.source_volume} at {each.container_path}" for each in container.mount_points)),
        ("Logs", container.log_configuration.log_driver),
    ]


def _requirement(requirement: task_definition_pb2.ResourceRequirement) -> str:
    """`GPU 2`, `25 % of a GPU`, `licence 2`"""
    mps = requirement.sharing_strategy.nvidia_mps
    if requirement.HasField("sharing_strategy"):
        return f"{mps.max_compute_percent or 100} % of a GPU, {text.mebibytes(mps.memory)} of its memory"
    return f"{requirement.type} {requirement.value}"


def _moments(*named: tuple[str, int]) -> list[tuple[str, str]]:
    return [(name, text.moment(millis) if millis else "") for name, millis in named]


def _tags(tags: Iterable[resource_pb2.Tag]) -> str:
    return ", ".join(f"{each.key}={each.value}" for each in tags)


def _room(whole: resource_pb2.Resource, left: resource_pb2.Resource | None) -> str:
    """Of ports, ECS lists those that are taken; of all else, what is free."""
    if whole.name in ("PORTS", "PORTS_UDP"):
        name = "udp ports" if whole.name == "PORTS_UDP" else "ports"
        return f"{name}: {text.sentence_list((left or whole).string_set_value) or 'none'} taken"
    name = {"CPU": "cpu", "MEMORY": "memory", "GPU": "GPUs"}.get(whole.name, whole.name)
    return f"{name} {_amount(left)} of {_amount(whole)} free" if left else f"{name} {_amount(whole)}"


def _amount(resource: resource_pb2.Resource) -> str:
    if resource.type == "STRINGSET":
        return str(len(resource.string_set_value))
    if resource.name == "MEMORY":
        return text.mebibytes(resource.integer_value)
    return str(resource.integer_value or resource.long_value or f"{resource.double_value:g}")


def _versions(version: container_instance_pb2.VersionInfo) -> str:
    parts = (("agent", version.agent_version), ("engine", version.docker_version))
    return ", ".join(f"{name} {value}" for name, value in parts if value)
