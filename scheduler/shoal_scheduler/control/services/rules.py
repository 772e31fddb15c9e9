"""The rule for each input of services: see `control.step`."""

from collections.abc import Callable
from typing import Any

from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.control.services import create, delete, protection, stop_deployment, update
from shoal_scheduler.control.services import inputs as i
from shoal_scheduler.state.overlay import Overlay

SERVICE_RULES: dict[type, Callable[[Overlay, Any, Context], Outcome]] = {
    i.CreateService: create.create,
    i.UpdateService: update.update,
    i.DeleteService: delete.delete,
    i.StopServiceDeployment: stop_deployment.stop,
    i.ProtectTasks: protection.protect,
}
