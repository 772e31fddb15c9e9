"""When so many tasks of a deployment failed that it is given up: ECS's circuit breaker. Pure.

The thresholds are those of https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html

    COUNT              so many failed tasks
    UNBOUNDED_PERCENT  so many percent of the desired count, rounded up
    BOUNDED_PERCENT    the same, at least 3 and at most 200

What counts as failed is in control.services.follow. Two things differ from ECS, so that there is always an end. Tasks
that never are RUNNING count even when others run: with ECS a registry that dies half-way leaves a deployment that goes
on for ever. And a healthy task makes the count begin anew only if more are healthy with it than ever before in this
deployment: else tasks that crash, but later than they are counted as healthy, would be started for ever.
"""

from shoal_scheduler.model.service import CircuitBreaker

COUNT, BOUNDED_PERCENT, UNBOUNDED_PERCENT = THRESHOLD_TYPES = ("COUNT", "BOUNDED_PERCENT", "UNBOUNDED_PERCENT")
THRESHOLD_MIN, THRESHOLD_MAX = 3, 200

# As with ECS, a deployment is over when so many tasks could not tell by which digests its images are known.
UNRESOLVED_MAX = 3


def threshold(breaker: CircuitBreaker, desired: int) -> int:
    """So many failed tasks end the deployment; `desired` as it is now.

    >>> [threshold(CircuitBreaker(), desired) for desired in (1, 25, 400, 800)]
    [3, 13, 200, 200]
    """
    if breaker.threshold_type == COUNT:
        return breaker.threshold_value
    share = -(-breaker.threshold_value * desired // 100)
    if breaker.threshold_type == UNBOUNDED_PERCENT:
        return max(1, share)
    return min(max(share, THRESHOLD_MIN), THRESHOLD_MAX)


def is_tripped(breaker: CircuitBreaker, failed: int, desired: int, *, is_resolved: bool = True) -> bool:
    """`is_resolved`: the digests of its images are known."""
    limit = threshold(breaker, desired)
    return breaker.enable and failed >= (limit if is_resolved else min(limit, UNRESOLVED_MAX))
