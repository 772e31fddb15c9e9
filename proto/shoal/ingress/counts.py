"""How many requests there were for each target group, out of the metrics of the Traefiks. Pure.

Of HTTP and gRPC; Traefik counts no connections of a TCP service.
"""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

_FAMILY = "traefik_service_requests"
_PROVIDER = "@file"


def totals(metrics: str) -> dict[str, int]:
    """By target group, since that Traefik started."""
    found: dict[str, int] = {}
    for family in text_string_to_metric_families(metrics):
        if family.name != _FAMILY:
            continue
        for sample in family.samples:
            group = sample.labels["service"].removesuffix(_PROVIDER)
            found[group] = found.get(group, 0) + int(sample.value)
    return found


def since(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    """What came between the two. One that is lower now counts anew: its Traefik was started again.

    >>> since({"web": 10, "api": 7}, {"web": 12, "api": 3, "new": 1})
    {'web': 2, 'api': 3, 'new': 1}
    """
    return {group: count - (known if (known := before.get(group, 0)) <= count else 0) for group, count in now.items()}
