"""Patterns of hosts and paths, in which `*` stands for any characters and `?` for one, as Traefik's rules. Pure."""

import re
from collections.abc import Iterable, Sequence

_WILD = re.compile(r"[*?]")

# Any host, of TLS or of none.
ANY_NAME = "HostSNI(`*`)"


def http_rule(hosts: Sequence[str], paths: Sequence[str]) -> str:
    """Both must match, of each any.

    >>> http_rule(["a.example", "*.b.example"], ["/api/*"])
    '(Host(`a.example`) || HostRegexp(`(?i)^.*\\\\.b\\\\.example$`)) && PathPrefix(`/api/`)'
    >>> http_rule([], [])
    'PathPrefix(`/`)'
    """
    parts = [_any(map(_host, hosts)), _any(map(_path, paths))]
    return " && ".join(filter(None, parts)) or "PathPrefix(`/`)"


def name_rule(hosts: Sequence[str]) -> str:
    """Of a connection the name that the client asks for in TLS.

    >>> name_rule(["db.example"]), name_rule([])
    ('HostSNI(`db.example`)', 'HostSNI(`*`)')
    """
    return _any(map(_name, hosts)) or ANY_NAME


def _any(rules: Iterable[str]) -> str:
    found = list(rules)
    return f"({' || '.join(found)})" if len(found) > 1 else "".join(found)


def _host(pattern: str) -> str:
    return f"HostRegexp(`(?i){_regex(pattern)}`)" if _WILD.search(pattern) else f"Host(`{pattern}`)"


def _name(pattern: str) -> str:
    return f"HostSNIRegexp(`(?i){_regex(pattern)}`)" if _WILD.search(pattern) else f"HostSNI(`{pattern}`)"


def _path(pattern: str) -> str:
    if not _WILD.search(pattern):
        return f"Path(`{pattern}`)"
    before = pattern.removesuffix("*") or "/"
    return f"PathRegexp(`{_regex(pattern)}`)" if _WILD.search(before) else f"PathPrefix(`{before}`)"


def _regex(pattern: str) -> str:
    """
    >>> _regex("/a?/*.png")
    '^/a./.*\\\\.png$'
    """
    words = {"*": ".*", "?": "."}
    return f"^{''.join(words.get(each) or re.escape(each) for each in pattern)}$"
