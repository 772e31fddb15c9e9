"""A container's logConfiguration as the engine's LogConfig. Pure.

The engine's own drivers get their options as they are; only what would reach the host's files needs the agent's
leave, and what the engine keeps on the host's disk is bounded. awslogs, and no configuration at all, is the host's
own log store (logs/store.py), which takes the output from the engine's json-file driver.
"""

from collections.abc import Mapping
from typing import Any

from shoal_agent.configuration import Configuration
from shoal_agent.definition.mounts import path_below
from shoal_agent.definition.refusal import Refused
from shoal_agent.engine.answers import size_bytes

Document = Mapping[str, Any]

MIB = 1024 * 1024
_FILES = 3

# Of awslogs, what the engine does for every driver: whether a container waits for its log, and how much may wait.
_OF_EVERY_DRIVER = ("mode", "max-buffer-size")

# Drivers that keep files of the engine's: without options of their own they are bounded as ours is.
_ON_DISK = ("json-file", "local")

# The others send it elsewhere; the engine keeps a copy, so that it can be read here, too.
_COPYING = ("syslog", "gelf", "fluentd", "splunk")

_ADDRESSES = ("syslog-address", "fluentd-address", "gelf-address", "splunk-url")
_FILE_OPTIONS = ("syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key", "splunk-capath")


def log_configuration(container: Document, rules: Configuration) -> Document:
    """Raises Refused, with the field's path within the container."""
    wanted = container.get("logConfiguration") or {}
    if wanted.get("secretOptions"):
        raise Refused("logConfiguration.secretOptions", "secrets are not delivered to log drivers; register it without")
    driver, options = wanted.get("logDriver") or "awslogs", dict(wanted.get("options") or {})
    if driver == "awslogs":
        general = {key: options[key] for key in _OF_EVERY_DRIVER if key in options}
        return {"Type": "json-file", "Config": _bounds(rules) | general}
    if driver not in rules.log_drivers:
        allowed = ", ".join(("awslogs", *rules.log_drivers))
        reason = f"{driver} is not given by this instance, which has {allowed}"
        raise Refused("logConfiguration.logDriver", f"{reason}; log_drivers in the agent's configuration says so")
    options = _within_reach(options, rules)
    if driver in _ON_DISK:
        options = _bounds(rules) | options
        _check_size("", options, rules)
    elif driver in _COPYING:
        options = _bounds(rules, "cache-") | options
        _check_size("cache-", options, rules)
    return {"Type": driver, "Config": options}


def _bounds(rules: Configuration, prefix: str = "") -> dict[str, str]:
    kib = rules.log_container_mib * 1024 // _FILES
    size = f"{kib // 1024}m" if kib % 1024 == 0 else f"{kib}k"
    return {f"{prefix}max-size": size, f"{prefix}max-file": str(_FILES)}


def _within_reach(options: Document, rules: Configuration) -> dict[str, str]:
    """The options with paths of the host resolved, so that a link that is changed later leads nowhere else: the engine
    opens them as root, whatever the task may see. Raises Refused."""
    result = dict(options)
    for key in _ADDRESSES:
        scheme, _, path = options.get(key, "").partition(":")
        if scheme.lower().startswith("unix") or scheme.startswith("/"):
            wanted = "/" + (path or scheme).lstrip("/")
            real = path_below(f"logConfiguration.options.{key}", wanted, rules.host_mounts, "host_mounts")
            result[key] = f"{scheme}://{real}" if path else real
    for key in _FILE_OPTIONS:
        if key in options:
            wanted = options[key]
            result[key] = path_below(f"logConfiguration.options.{key}", wanted, rules.host_mounts, "host_mounts")
    return result


def _check_size(prefix: str, options: Document, rules: Configuration) -> None:
    """A container may ask for more than what it would get, but not for more than all logs of a host may have."""
    size, files = size_bytes(options[f"{prefix}max-size"]), options[f"{prefix}max-file"]
    if size is None:
        raise Refused(f"logConfiguration.options.{prefix}max-size", "must be a size such as 10m")
    if not files.isdigit() or not int(files):
        raise Refused(f"logConfiguration.options.{prefix}max-file", "must be a number of files, 1 or more")
    if size * int(files) > rules.log_host_mib * MIB:
        reason = f"times {prefix}max-file is more than the {rules.log_host_mib} MiB that this instance has for logs"
        path = f"logConfiguration.options.{prefix}max-size"
        raise Refused(path, f"{reason}; log_host_mib in the agent's configuration says so")
