"""Which rule answers each input about rebalancing."""

from collections.abc import Callable, Mapping
from typing import Any

from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.control.rebalance import inputs as i
from shoal_scheduler.control.rebalance import requests
from shoal_scheduler.state.overlay import Overlay

REBALANCE_RULES: Mapping[type, Callable[[Overlay, Any, Context], Outcome]] = {
    i.StartRebalance: requests.start,
    i.StopRebalance: requests.stop,
}
