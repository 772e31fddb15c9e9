"""A container's logConfiguration: which drivers there are, what cannot be run, what has no effect here.

Options of the engine's drivers are the engine's affair: it refuses by name what it does not know.
"""

from shoal.problems import Problem, member, quoted

from shoal_scheduler.api.validate_values import Document, Problems, one_of, required

# Those of the ECS API model, and two more of the engine's.
LOG_DRIVERS = (
    *("json-file", "syslog", "journald", "gelf", "fluentd", "awslogs", "splunk", "awsfirelens"),
    *("local", "none"),
)
MODES = ("blocking", "non-blocking")

_NAMES_OF_THE_LOG = ("awslogs-group", "awslogs-region", "awslogs-stream-prefix")
_LINES = "has no effect: each line is kept by itself, as it was written"
_NOWHERE = "has no effect: output stays on the instance and is sent nowhere"
_AWSLOGS_OPTIONS = {
    "awslogs-create-group": "has no effect: a group needs no making here, it is there once it is named",
    "awslogs-datetime-format": _LINES,
    "awslogs-multiline-pattern": _LINES,
    "awslogs-stream": "has no effect: streams are named by awslogs-stream-prefix",
    "tag": "has no effect: streams are named by awslogs-stream-prefix",
    "awslogs-format": _LINES,
    "awslogs-endpoint": _NOWHERE,
    "awslogs-credentials-endpoint": _NOWHERE,
    "awslogs-force-flush-interval-seconds": _NOWHERE,
    "awslogs-max-buffered-events": _NOWHERE,
}
_JSON_FILE_OPTIONS = (
    *("compress", "env", "env-regex", "labels", "labels-regex", "max-file", "max-size", "tag"),
    *("mode", "max-buffer-size"),
)


def log_problems(path: str, log: Document | None) -> Problems:
    if log is None:
        return
    yield from required(path, log, "logDriver")
    yield from one_of(f"{path}.logDriver", log.get("logDriver"), LOG_DRIVERS)
    yield from one_of(f"{path}.options.mode", log.get("options", {}).get("mode"), MODES)
    for index, secret in enumerate(log.get("secretOptions", ())):
        yield from required(f"{path}.secretOptions[{index}]", secret, "name", "valueFrom")


def log_runnable_problems(path: str, log: Document) -> Problems:
    if log.get("logDriver") == "awsfirelens":
        yield Problem(f"{path}.logDriver", "awsfirelens needs a log router, which is not supported; use another driver")
    if log.get("secretOptions") and log.get("logDriver") != "awslogs":
        yield Problem(f"{path}.secretOptions", "secrets are not delivered to log drivers; register it without")


def log_warnings(path: str, log: Document) -> Problems:
    driver, options = log.get("logDriver"), log.get("options", {})
    if driver == "awslogs":
        yield Problem(path, "awslogs is kept on the instance: read it with shoal logs; nothing goes to CloudWatch")
        for key in options:
            if key not in (*_NAMES_OF_THE_LOG, "mode", "max-buffer-size"):
                no_such = f"has no effect: awslogs has no option {quoted(key)}"
                yield Problem(member(f"{path}.options", key), _AWSLOGS_OPTIONS.get(key, no_such))
        if log.get("secretOptions"):
            yield Problem(f"{path}.secretOptions", _NOWHERE)
    elif driver == "json-file":
        for key in options:
            if key not in _JSON_FILE_OPTIONS:
                refused = "json-file has no such option: the engine will refuse the container"
                yield Problem(member(f"{path}.options", key), refused)
    elif driver == "none":
        yield Problem(path, "nothing the container writes is kept")
