"""`shoal job`: jobs of AWS Batch's kind, from their submission to their graph."""

import click

from shoal.cli.lazy import Commands

# Command -> (where it is, what it does); loaded when it is called, as those of the root.
COMMANDS: dict[str, tuple[str, str]] = {
    "submit": ("job_submit:submit", "Submit a job, an array of them, or a file of jobs that wait for one another."),
    "ls": ("job_list:ls", "List jobs, or the children of an array."),
    "describe": ("job_describe:describe", "Show all there is to know of jobs, with every attempt."),
    "logs": ("job_logs:logs", "Show what an attempt of a job wrote."),
    "wait": ("job_wait:wait", "Wait until jobs are over; shows how far they are."),
    "cancel": ("job_stop:cancel", "Cancel jobs that have not started."),
    "terminate": ("job_stop:terminate", "End jobs, whatever they are at."),
    "graph": ("job_graph:graph", "Show which jobs wait for which, as a tree or as SVG."),
}


@click.group(cls=Commands, places=COMMANDS)
def job() -> None:
    """Submit jobs and follow them: arrays, dependencies, retries.

    A JOB is named by its id, or the beginning of that or of its last twelve digits; or by its name, if only one job
    has that. A child of an array has its index behind a colon, as in flip:7.
    """
