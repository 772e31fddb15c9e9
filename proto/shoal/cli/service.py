"""`shoal service`: so many tasks kept running, from their creation to their end."""

import click

from shoal.cli.lazy import Commands

# Command -> (where it is, what it does); loaded when it is called, as those of the root.
COMMANDS: dict[str, tuple[str, str]] = {
    "create": ("service_create:create", "Create a service; one that is there just so is fine."),
    "update": ("service_update:update", "Change a service; what is not given stays."),
    "ls": ("service_list:ls", "List services, and how many of their tasks run."),
    "describe": ("service_describe:describe", "Show all there is to know of services."),
    "deployments": ("service_deployments:deployments", "List the deployments of a service, the newest first."),
    "events": ("service_events:events", "Show what happened to a service."),
    "scale": ("service_update:scale", "Change how many tasks of a service run."),
    "rollback": ("service_rollback:rollback", "Go back to what a service ran before."),
    "protect": ("service_protect:protect", "Keep deployments and scale-ins from stopping tasks for a while."),
    "wait": ("service_wait:wait", "Wait until services are steady, or gone."),
    "delete": ("service_delete:delete", "Delete services; their tasks are stopped."),
}


@click.group(cls=Commands, places=COMMANDS)
def service() -> None:
    """Keep tasks running: create, change, scale and roll back services.

    A new image is deployed by `shoal deploy`; a file is applied by `shoal apply`.
    """
