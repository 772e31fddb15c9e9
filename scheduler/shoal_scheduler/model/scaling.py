"""Who changes a service's desired count by itself: between which bounds, by which policies, at which times.

The words are those of Application Auto Scaling (https://docs.aws.amazon.com/autoscaling/application/APIReference/).
Times are milliseconds, cooldowns and periods seconds.
"""

import msgspec

ACTIVITIES_MAX = 100

# Of one scalable target: what belongs to it is removed in one step.
POLICIES_MAX, ACTIONS_MAX = 10, 25

# What Application Auto Scaling takes for services of ECS.
COOLDOWN_SECONDS = 300
PERIOD_SECONDS = 60

CPU, MEMORY = "ECSServiceAverageCPUUtilization", "ECSServiceAverageMemoryUtilization"
REQUESTS = "ALBRequestCountPerTarget"
PREDEFINED = (CPU, MEMORY, REQUESTS)

CHANGE, PERCENT, EXACT = "ChangeInCapacity", "PercentChangeInCapacity", "ExactCapacity"
ADJUSTMENT_TYPES = (CHANGE, PERCENT, EXACT)

SUCCESSFUL, FAILED = "Successful", "Failed"


class Scaled(msgspec.Struct, frozen=True, array_like=True):
    """The last change by a policy: cooldowns are counted from it.

    `before`: the count before the first scale-out of those that followed one another within the cooldown.
    """

    at: int
    before: int
    after: int
    cooldown: int


class ScalableTarget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    cluster: str
    service: str
    created_at: int
    min_capacity: int
    max_capacity: int

    # SuspendedState.
    in_suspended: bool = False
    out_suspended: bool = False
    scheduled_suspended: bool = False
    scaled: Scaled | None = None
    tags: dict[str, str] = {}


class MetricStat(msgspec.Struct, frozen=True, array_like=True):
    """A metric of the scheduler's store, its own or one that somebody put."""

    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str


class MetricQuery(msgspec.Struct, frozen=True, array_like=True):
    """A metric or an expression over those that are named before; one of a policy's returns its data."""

    id: str
    stat: MetricStat | None = None
    expression: str = ""
    label: str = ""
    return_data: bool = True


class PrometheusQuery(msgspec.Struct, frozen=True, array_like=True):
    """Asked of a Prometheus server at this address; the answer is a scalar or a vector of one element. Ours."""

    address: str
    query: str


class TargetTracking(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Exactly one of `predefined`, `queries` and `prometheus` says what is to be near `target`."""

    target: float
    predefined: str = ""

    # REQUESTS: the name of a target group; "" is the only one of the service.
    resource_label: str = ""
    queries: tuple[MetricQuery, ...] = ()
    prometheus: PrometheusQuery | None = None
    out_cooldown: int = COOLDOWN_SECONDS
    in_cooldown: int = COOLDOWN_SECONDS
    disable_scale_in: bool = False

    # The length of a datapoint. Ours.
    period: int = PERIOD_SECONDS


class StepAdjustment(msgspec.Struct, frozen=True, array_like=True):
    """Bounds relative to the alarm's threshold; None is infinity."""

    lower: float | None
    upper: float | None
    adjustment: int


class StepScaling(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Looked at while an alarm that names the policy among its actions is in state ALARM."""

    adjustment_type: str
    steps: tuple[StepAdjustment, ...]

    # Of PERCENT: the least that is added or removed.
    min_magnitude: int = 0
    cooldown: int = COOLDOWN_SECONDS

    # Average, Minimum or Maximum; "" is the alarm's statistic.
    aggregation: str = ""


class ScalingPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Exactly one of `tracking` and `stepping`."""

    cluster: str
    service: str
    name: str
    created_at: int
    tracking: TargetTracking | None = None
    stepping: StepScaling | None = None


class ScheduledAction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`schedule`: at(...), rate(...) or cron(...); without `timezone` in UTC. None: that bound is left as it is."""

    cluster: str
    service: str
    name: str
    created_at: int
    schedule: str
    timezone: str = ""
    start: int | None = None
    end: int | None = None
    min_capacity: int | None = None
    max_capacity: int | None = None

    # Every time up to this one was done or passed over.
    done_until: int = 0


class ScalingActivity(msgspec.Struct, frozen=True, array_like=True):
    """`code` and the bounds: why nothing was changed (NotScaledReason); "" of one that changed something."""

    id: str
    at: int
    description: str
    cause: str
    status: str = SUCCESSFUL
    message: str = ""
    before: int = 0
    after: int = 0
    code: str = ""
    min_capacity: int = 0
    max_capacity: int = 0


class ScalingActivities(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The last ACTIVITIES_MAX of a service, the oldest first."""

    cluster: str
    service: str
    activities: tuple[ScalingActivity, ...] = ()
