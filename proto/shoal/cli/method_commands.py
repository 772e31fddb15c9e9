"""The commands that do what methods of the API do, for advice of the scheduler's that names a method. Pure.

The scheduler answers clients of all kinds, in the words of the API; who types reads the words of the command line.
"""

import re

COMMANDS = {
    "CreateCluster": "clusters create",
    "CreateJobQueue": "queue create",
    "CreateService": "service create",
    "DescribeComputeEnvironments": "compute-environment ls",
    "DescribeJobDefinitions": "job-definition ls",
    "DescribeJobs": "job describe",
    "DescribeRules": "rule ls",
    "DescribeTargetGroups": "target-group ls",
    "ListClusters": "clusters",
    "ListConsumableResources": "consumable ls",
    "ListContainerInstances": "instances",
    "ListJobs": "job ls",
    "ListJoinTokens": "token ls",
    "ListServiceDeployments": "service deployments",
    "ListTaskDefinitions": "definitions",
    "ListTasks": "ps",
    "PutMetricAlarm": "alarm put",
    "RegisterScalableTarget": "autoscaling target put",
    "UpdateComputeEnvironment": "compute-environment update",
    "UpdateJobQueue": "queue update",
    "UpdateService": "service update",
}
ADVICE = re.compile(r"\bwith ([A-Z][A-Za-z]+)\b")


def in_commands(advice: str) -> str:
    """
    >>> in_commands("There is no task 'x'. List them with ListTasks.")
    "There is no task 'x'. List them with `shoal ps`."
    >>> in_commands("Take another name, with ModifyRule or without.")
    'Take another name, with ModifyRule or without.'
    """
    return ADVICE.sub(_command, advice)


def _command(found: re.Match[str]) -> str:
    command = COMMANDS.get(found[1])
    return f"with `shoal {command}`" if command else found[0]
