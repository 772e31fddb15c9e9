"""Names of things: `arn:shoal:ecs:local:<owner>:<kind>/...`, in the shape ECS users take apart.

cluster               arn:shoal:ecs:local:000000000000:cluster/default
task definition       arn:shoal:ecs:local:000000000000:task-definition/web:7
task                  arn:shoal:ecs:local:000000000000:task/default/<32 hex digits>
service               arn:shoal:ecs:local:000000000000:service/default/web
service deployment    arn:shoal:ecs:local:000000000000:service-deployment/default/web/<id>
service revision      arn:shoal:ecs:local:000000000000:service-revision/default/web/<id>
target group          arn:shoal:ecs:local:000000000000:targetgroup/default/web
listener rule         arn:shoal:ecs:local:000000000000:listener-rule/default/web
container instance    arn:shoal:ecs:local:000000000000:container-instance/default/<32 hex digits>
alarm                 arn:shoal:ecs:local:000000000000:alarm:<name>
container             arn:shoal:ecs:local:000000000000:container/default/<task>/<name>
job definition        arn:shoal:batch:local:000000000000:job-definition/flip:7
job queue             arn:shoal:batch:local:000000000000:job-queue/<name>
compute environment   arn:shoal:batch:local:000000000000:compute-environment/<name>
consumable resource   arn:shoal:batch:local:000000000000:consumable-resource/<name>
job                   arn:shoal:batch:local:000000000000:job/<id>, of a child of an array with its index, <id>:7
repository            arn:shoal:ecr:local:000000000000:repository/<name with slashes>
scalable target       arn:shoal:application-autoscaling:local:000000000000:scalable-target/<cluster>/<service>
scaling policy        arn:shoal:autoscaling:local:000000000000:scalingPolicy:<32 hex digits>:resource/ecs/service/
                      default/web:policyName/<name>; of a scheduled action scheduledAction and scheduledActionName
"""

from hashlib import sha256

OWNER = "000000000000"
PREFIX = f"arn:shoal:ecs:local:{OWNER}:"
BATCH_PREFIX = f"arn:shoal:batch:local:{OWNER}:"
SCALABLE_TARGET_PREFIX = f"arn:shoal:application-autoscaling:local:{OWNER}:scalable-target/"
SCALING_PREFIX = f"arn:shoal:autoscaling:local:{OWNER}:"
REPOSITORY_PREFIX = f"arn:shoal:ecr:local:{OWNER}:repository/"


def cluster_arn(cluster: str) -> str:
    return f"{PREFIX}cluster/{cluster}"


def task_definition_arn(family: str, revision: int) -> str:
    return f"{PREFIX}task-definition/{family}:{revision}"


def task_arn(cluster: str, task_id: str) -> str:
    return f"{PREFIX}task/{cluster}/{task_id}"


def service_arn(cluster: str, name: str) -> str:
    return f"{PREFIX}service/{cluster}/{name}"


def service_deployment_arn(cluster: str, service: str, deployment_id: str) -> str:
    return f"{PREFIX}service-deployment/{cluster}/{service}/{deployment_id}"


def service_revision_arn(cluster: str, service: str, revision_id: str) -> str:
    return f"{PREFIX}service-revision/{cluster}/{service}/{revision_id}"


def target_group_arn(cluster: str, name: str) -> str:
    return f"{PREFIX}targetgroup/{cluster}/{name}"


def listener_rule_arn(cluster: str, name: str) -> str:
    return f"{PREFIX}listener-rule/{cluster}/{name}"


def container_instance_arn(cluster: str, instance_id: str) -> str:
    return f"{PREFIX}container-instance/{cluster}/{instance_id}"


def container_arn(cluster: str, task_id: str, name: str) -> str:
    return f"{PREFIX}container/{cluster}/{task_id}/{name}"


def alarm_arn(name: str) -> str:
    return f"{PREFIX}alarm:{name}"


def job_definition_arn(name: str, revision: int) -> str:
    return f"{BATCH_PREFIX}job-definition/{name}:{revision}"


def job_queue_arn(name: str) -> str:
    return f"{BATCH_PREFIX}job-queue/{name}"


def compute_environment_arn(name: str) -> str:
    return f"{BATCH_PREFIX}compute-environment/{name}"


def consumable_resource_arn(name: str) -> str:
    return f"{BATCH_PREFIX}consumable-resource/{name}"


def job_arn(job: str) -> str:
    return f"{BATCH_PREFIX}job/{job}"


def scalable_target_arn(cluster: str, service: str) -> str:
    return f"{SCALABLE_TARGET_PREFIX}{cluster}/{service}"


def scaling_policy_arn(cluster: str, service: str, name: str) -> str:
    return _of_scaling("scalingPolicy", "policyName", cluster, service, name)


def scheduled_action_arn(cluster: str, service: str, name: str) -> str:
    return _of_scaling("scheduledAction", "scheduledActionName", cluster, service, name)


def _of_scaling(kind: str, label: str, cluster: str, service: str, name: str) -> str:
    """The digits are made from the names: one of the same names is the same one."""
    digits = sha256("\n".join((cluster, service, name)).encode()).hexdigest()[:32]
    return f"{SCALING_PREFIX}{kind}:{digits}:resource/ecs/service/{cluster}/{service}:{label}/{name}"


def repository_arn(name: str) -> str:
    return f"{REPOSITORY_PREFIX}{name}"


def short(name: str) -> str:
    """The last part of an ARN; anything else unchanged.

    >>> short("arn:shoal:ecs:local:000000000000:task/default/0af3")
    '0af3'
    >>> short("web:7")
    'web:7'
    """
    if not name.startswith("arn:"):
        return name
    return name.rsplit("/", 1)[-1]


def target_group_name(name: str) -> str:
    """Of a target group by its ARN, one of AWS's as well; a name unchanged.

    >>> target_group_name("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/6d0ecf831eec9f09")
    'web'
    """
    if name.startswith("arn:aws"):
        return name.partition(":targetgroup/")[2].partition("/")[0]
    return short(name)


def cluster_of(name: str) -> str | None:
    """The cluster an ARN of a task or an instance names, if it names one."""
    parts = name.split("/")
    return parts[1] if name.startswith("arn:") and len(parts) == 3 else None
