"""The order of a task's statuses (the words are ECS's).

    PROVISIONING  accepted, waits for room          (no instance yet)
    PENDING       assigned to an instance           (pulling, creating)
    ACTIVATING    started, being connected
    RUNNING       every essential container runs
    DEACTIVATING  being disconnected
    STOPPING      its containers are being ended
    DEPROVISIONING  what it held is being released
    STOPPED       over; never changes again

Two rules. A status only ever moves forward in this order, possibly over several at once. STOPPED is final.
Only the scheduler writes the desired status, only the instance's agent reports the last status.
"""

from typing import Final

ORDER: Final = (
    "PROVISIONING",
    "PENDING",
    "ACTIVATING",
    "RUNNING",
    "DEACTIVATING",
    "STOPPING",
    "DEPROVISIONING",
    "STOPPED",
)
RANK: Final = {status: rank for rank, status in enumerate(ORDER)}


def may_move(before: str, after: str) -> bool:
    """True if a task seen as `before` may next be seen as `after`; staying is not a move.

    >>> may_move("PENDING", "RUNNING"), may_move("STOPPED", "RUNNING"), may_move("RUNNING", "RUNNING")
    (True, False, False)
    """
    return RANK[after] > RANK[before]


def has_started(status: str) -> bool:
    """True once a container of the task may have run, so that starting it again would be a second run."""
    return RANK[status] >= RANK["ACTIVATING"]
