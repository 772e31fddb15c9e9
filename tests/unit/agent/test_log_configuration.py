"""logConfiguration, as the engine gets it."""

from pathlib import Path
from typing import Any

import pytest
from shoal_agent.configuration import BadConfiguration, Configuration, parse
from shoal_agent.definition.log_configuration import log_configuration
from shoal_agent.definition.refusal import Refused

BOUNDS = {"max-size": "10m", "max-file": "3"}
CACHE = {"cache-max-size": "10m", "cache-max-file": "3"}


def made(driver: str, options: dict[str, str] | None = None, rules: Configuration | None = None) -> Any:
    named = {key.replace("_", "-"): value for key, value in (options or {}).items()}
    container = {"logConfiguration": {"logDriver": driver, "options": named}}
    return log_configuration(container, rules or Configuration())


def test_without_one_it_is_the_hosts_own() -> None:
    assert log_configuration({}, Configuration()) == {"Type": "json-file", "Config": BOUNDS}
    assert log_configuration({"logConfiguration": None}, Configuration())["Type"] == "json-file"


@pytest.mark.parametrize(
    ("driver", "options", "type_", "config"),
    [
        ("awslogs", {"awslogs_group": "g", "mode": "non-blocking"}, "json-file", {**BOUNDS, "mode": "non-blocking"}),
        ("awslogs", {"max_buffer_size": "4m"}, "json-file", {**BOUNDS, "max-buffer-size": "4m"}),
        ("json-file", {"max_size": "1m", "tag": "x"}, "json-file", {**BOUNDS, "max-size": "1m", "tag": "x"}),
        ("local", {"compress": "false"}, "local", {**BOUNDS, "compress": "false"}),
        ("none", {}, "none", {}),
        ("journald", {"tag": "web"}, "journald", {"tag": "web"}),
        ("syslog", {"syslog_address": "udp://1.2.3.4:514"}, "syslog", {**CACHE, "syslog-address": "udp://1.2.3.4:514"}),
        ("gelf", {"gelf_address": "udp://h:1"}, "gelf", {**CACHE, "gelf-address": "udp://h:1"}),
        ("fluentd", {"fluentd_async": "true"}, "fluentd", {**CACHE, "fluentd-async": "true"}),
        ("splunk", {"splunk_token": "t"}, "splunk", {**CACHE, "splunk-token": "t"}),
        ("splunk", {"cache_disabled": "true"}, "splunk", {**CACHE, "cache-disabled": "true"}),
    ],
)
def test_a_driver_with_its_options(driver: str, options: dict[str, str], type_: str, config: dict[str, str]) -> None:
    assert made(driver, options) == {"Type": type_, "Config": config}


def test_what_the_host_keeps_of_a_container_is_the_operators_to_say() -> None:
    assert made("awslogs", rules=Configuration(log_container_mib=6))["Config"]["max-size"] == "2m"
    assert made("awslogs", rules=Configuration(log_container_mib=1))["Config"]["max-size"] == "341k"


@pytest.mark.parametrize(
    ("driver", "options", "field"),
    [
        ("awsfirelens", {}, "logDriver"),
        ("json-file", {"max_size": "-1"}, "options.max-size"),
        ("json-file", {"max_size": "1g", "max_file": "2"}, "options.max-size"),
        ("local", {"max_file": "0"}, "options.max-file"),
        ("gelf", {"cache_max_size": "2g"}, "options.cache-max-size"),
        ("syslog", {"syslog_address": "unixgram:///var/run/docker.sock"}, "options.syslog-address"),
        ("syslog", {"syslog_tls_key": "/etc/shadow"}, "options.syslog-tls-key"),
        ("fluentd", {"fluentd_address": "unix:///run/x.sock"}, "options.fluentd-address"),
        ("fluentd", {"fluentd_address": "unix:/run/x.sock"}, "options.fluentd-address"),
        ("splunk", {"splunk_capath": "/etc/shadow"}, "options.splunk-capath"),
    ],
)
def test_what_an_instance_does_not_give(driver: str, options: dict[str, str], field: str) -> None:
    with pytest.raises(Refused) as refused:
        made(driver, options)
    assert refused.value.path == f"logConfiguration.{field}"


def test_what_the_operator_allows(tmp_path: Path) -> None:
    socket = f"unix://{tmp_path}/log.sock"
    assert made("syslog", {"syslog_address": socket}, Configuration(host_mounts=(str(tmp_path),)))["Type"] == "syslog"
    with pytest.raises(Refused, match="log_drivers"):
        made("syslog", rules=parse({"log_drivers": ["json-file"]}))
    with pytest.raises(BadConfiguration, match=r"log_drivers\[0\]"):
        parse({"log_drivers": ["awslogs2"]})


def test_links_are_resolved_once_and_for_all(tmp_path: Path) -> None:
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    rules, link, real = Configuration(host_mounts=(str(tmp_path),)), tmp_path / "link", (tmp_path / "real").resolve()
    options = {"syslog_address": f"unix://{link}", "syslog_tls_key": str(link)}
    given = made("syslog", options, rules)["Config"]
    assert (given["syslog-address"], given["syslog-tls-key"]) == (f"unix://{real}", str(real))
