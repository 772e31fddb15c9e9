"""deploymentConfiguration of a service: what is refused at the door."""

from shoal.problems import Problem

from shoal_scheduler.api.validate_values import Document, Problems, at_most, between, one_of, required, unique

MAXIMUM_PERCENT_MAX = 1000
BAKE_MINUTES_MAX = 1440
PROGRESS_MINUTES_MAX = 1440
ALARMS_MAX = 100
COUNT_MAX = 5000
PERCENT_MAX = 1000
THRESHOLDS = ("COUNT", "BOUNDED_PERCENT", "UNBOUNDED_PERCENT")
_PATH = "deploymentConfiguration"
_LATER = ("BLUE_GREEN", "LINEAR", "CANARY")
_NOT_YET = {
    "lifecycleHooks": "deployments have no hooks yet; leave it out",
    "linearConfiguration": "is for LINEAR, which is not there yet; leave it out",
    "canaryConfiguration": "is for CANARY, which is not there yet; leave it out",
}


def configuration_problems(document: Document) -> Problems:
    """What it comes to with what the service has already is the rule's to say."""
    for key, why in _NOT_YET.items():
        if key in document:
            yield Problem(f"{_PATH}.{key}", why)
    if document.get("earlySuccessCriteria", {}).get("enable"):
        yield Problem(f"{_PATH}.earlySuccessCriteria", "is not there yet; leave it out")
    strategy = document.get("strategy")
    if strategy in _LATER:
        yield Problem(f"{_PATH}.strategy", f"{strategy} is not there yet; use ROLLING, or leave it out")
    else:
        yield from one_of(f"{_PATH}.strategy", strategy, ("ROLLING",))
    yield from between(f"{_PATH}.bakeTimeInMinutes", document.get("bakeTimeInMinutes"), 0, BAKE_MINUTES_MAX, "minutes")
    progress = document.get("progressTimeInMinutes")
    yield from between(f"{_PATH}.progressTimeInMinutes", progress, 1, PROGRESS_MINUTES_MAX, "minutes")
    minimum, maximum = document.get("minimumHealthyPercent"), document.get("maximumPercent")
    yield from between(f"{_PATH}.minimumHealthyPercent", minimum, 0, 100, "percent")
    yield from between(f"{_PATH}.maximumPercent", maximum, 100, MAXIMUM_PERCENT_MAX, "percent")
    if "deploymentCircuitBreaker" in document:
        yield from _breaker_problems(f"{_PATH}.deploymentCircuitBreaker", document["deploymentCircuitBreaker"])
    if "alarms" in document:
        yield from _alarm_problems(f"{_PATH}.alarms", document["alarms"])


def _breaker_problems(path: str, breaker: Document) -> Problems:
    for name in ("enable", "rollback"):
        if name not in breaker:
            yield Problem(f"{path}.{name}", "is required: true or false")
    threshold = breaker.get("thresholdConfiguration")
    if threshold is None:
        return
    at, kind = f"{path}.thresholdConfiguration", threshold.get("type")
    yield from required(at, threshold, "type", "value")
    yield from one_of(f"{at}.type", kind, THRESHOLDS)
    if kind == "COUNT":
        yield from between(f"{at}.value", threshold.get("value"), 1, COUNT_MAX)
    else:
        yield from between(f"{at}.value", threshold.get("value"), 1, PERCENT_MAX, "percent")


def _alarm_problems(path: str, alarms: Document) -> Problems:
    for name in ("enable", "rollback"):
        if name not in alarms:
            yield Problem(f"{path}.{name}", "is required: true or false")
    names = alarms.get("alarmNames", ())
    if alarms.get("enable") and not names:
        yield Problem(f"{path}.alarmNames", "is required: the alarms that end a deployment")
    yield from at_most(f"{path}.alarmNames", names, ALARMS_MAX)
    places = [(f"{path}.alarmNames[{index}]", name) for index, name in enumerate(names[:ALARMS_MAX])]
    yield from unique(places, "{value} is also {first}; name each alarm once")
