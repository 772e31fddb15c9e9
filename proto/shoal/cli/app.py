"""The root command: which commands there are, found lazily, and how every failure is shown.

Nothing but click may be imported here at the top: `shoal --help` pays for every import.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from shoal import __version__
from shoal.cli.options import Target, remember_cluster, remember_context, remember_endpoints

# Section -> command -> (where it is, what it does). The one list of commands.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Tasks": {
        "run": ("run:run", "Run tasks of a definition, or a command in an image."),
        "ps": ("ps:ps", "List tasks."),
        "explain": ("explain:explain", "Show why tasks find no room, and what would help."),
        "logs": ("logs:logs", "Show what a task's containers wrote."),
        "exec": ("exec:execute", "Execute a command in a task's container."),
        "wait": ("wait:wait", "Wait until tasks run or have stopped."),
        "stop": ("stop:stop", "Stop tasks."),
        "top": ("top:top", "Show what instances and tasks use now."),
        "metrics": ("metrics:metrics", "Show what was measured of tasks, instances and clusters."),
        "events": ("events:events", "Show what happened to tasks and instances."),
        "alarm": ("alarm:alarm", "Make, list and delete alarms on metrics."),
        "usage": ("usage:usage", "Show what tasks reserved, and for how long."),
        "describe": ("describe:describe", "Show all there is to know of anything, by its name."),
    },
    "Task definitions": {
        "register": ("register:register", "Register a task definition from a JSON file."),
        "definitions": ("definitions:definitions", "List task definitions."),
        "deregister": ("definitions:deregister", "Make a revision inactive."),
    },
    "Services": {
        "service": ("service:service", "Create, change, scale, roll back and delete services."),
        "deploy": ("deploy:deploy", "Deploy an image to a service, and stay until it runs or is rolled back."),
        "apply": ("apply:apply", "Make services as a file says, with what changes first."),
        "autoscaling": ("autoscaling:autoscaling", "Scale services by load and by the clock."),
    },
    "Jobs": {
        "job": ("job:job", "Submit jobs, follow, cancel and draw them."),
        "queue": ("queue:queue", "Create, list and change job queues; see what waits in them."),
        "job-definition": ("job_definition:job_definition", "Register, list and deregister job definitions."),
        "compute-environment": (
            "compute_environment:compute_environment",
            "Choose the instances jobs run on; also: ce.",
        ),
        "consumable": ("consumable:consumable", "Manage what jobs take or use up: licences, slots."),
    },
    "Traffic": {
        "target-group": (
            "target_group:target_group",
            "Tasks of services that answer the same requests.",
        ),
        "rule": ("rule:rule", "Say which requests go to which target groups."),
    },
    "Images": {
        "image": ("image:image", "Push, load and list images of the cluster's registry."),
        "registry": ("registry:registry", "Manage who may push and pull; log engines in, let them know it."),
        "repository": ("repository:repository", "Manage repositories: immutable tags, lifecycle, policies, events."),
    },
    "Instances and clusters": {
        "instances": ("instances:instances", "List container instances."),
        "drain": ("drain:drain", "Place no more tasks on instances, until they are empty."),
        "activate": ("drain:activate", "Place tasks on drained instances again."),
        "rebalance": ("rebalance:rebalance", "Move tasks of services to other instances, the plan first."),
        "attributes": ("attributes:attributes", "List, put and remove attributes of instances."),
        "token": ("token:token", "Create, list and revoke tokens by which hosts join."),
        "schedulers": ("schedulers:schedulers", "List schedulers; hand leadership over."),
        "clusters": ("clusters:clusters", "List, create, update and delete clusters."),
        "tag": ("tags:tag", "Put tags on a resource, or list them."),
        "untag": ("tags:untag", "Remove tags from a resource."),
    },
    "This machine": {
        "backup": ("backup:backup", "Write what the cluster of this machine knows to a file."),
        "restore": ("backup:restore", "Take the cluster of this machine back to a backup."),
        "up": ("up:up", "Start a cluster on this machine, or say that it is up."),
        "down": ("down:down", "Stop all that `shoal up` started."),
        "agent": ("agent:agent", "Join this machine to a cluster, and run its agent."),
        "certificate": ("certificate:certificate", "Issue certificates of the cluster's own authority."),
        "doctor": ("doctor:doctor", "Check everything a cluster needs, and say how to mend it."),
        "host": ("host:host", "List, load, kill, cut off and heal hosts of `shoal up --hosts`."),
        "context": ("contexts:context", "List and choose the clusters you speak to."),
        "completion": ("completion:completion", "Print the completion script of your shell."),
    },
}

# What is long to type, as it may be written as well.
SHORT = {"ce": "compute-environment"}

EPILOG = """\b
Exit codes:
  0    done                      3    there is no such thing
  1    failed or refused         4    the cluster cannot be reached
  2    wrong usage               5    timed out
  130  interrupted
`run`, `wait` and `exec` pass on the exit code of the container or command; 125 if it never had one.
`deploy` exits with 124 when its time is up and the deployment goes on.

\b
Start here:
  shoal up
  shoal run busybox -- echo hello
"""

CONTEXT_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class LazyGroup(click.Group):
    """Knows every command's name and one line about it; loads a command's module when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for commands in SECTIONS.values() for name in commands]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        name = SHORT.get(name, name)
        for commands in SECTIONS.values():
            if name in commands:
                module, _, attribute = commands[name][0].partition(":")
                command = getattr(importlib.import_module(f"shoal.cli.{module}"), attribute)
                assert isinstance(command, click.Command)
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()], col_max=20)


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings=CONTEXT_SETTINGS)
@click.version_option(__version__, message="shoal %(version)s")
@click.option(
    "--context",
    metavar="NAME",
    callback=remember_context,
    expose_value=False,
    help="Which context to use.  [$SHOAL_CONTEXT]",
)
@click.option(
    "--cluster",
    metavar="NAME",
    callback=remember_cluster,
    expose_value=False,
    help="Which cluster to use.  [$SHOAL_CLUSTER]",
)
@click.option(
    "--endpoint",
    metavar="HOST:PORT",
    multiple=True,
    callback=remember_endpoints,
    expose_value=False,
    help="A scheduler to ask instead of the context's; several times for several.",
)
def root() -> None:
    """Containers on your own machines, with the words and the JSON of Amazon ECS."""


def run(arguments: Sequence[str] | None = None) -> None:
    """Runs one command line (the process's own by default) and leaves with its exit code."""
    code = execute(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has seen enough; the interpreter must not try to flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def execute(arguments: Sequence[str] | None = None) -> int:
    from shoal.cli.failures import present

    # What the transport has to say of lost connections, our own errors say in words.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        result = root.main(
            args=None if arguments is None else list(arguments),
            prog_name="shoal",
            standalone_mode=False,
            obj=Target(),
            color=False if os.environ.get("NO_COLOR") else None,
        )
        return result if isinstance(result, int) else 0
    except BaseException as error:
        return present(error)
