"""The rule for each input of batch: see `control.step`."""

from collections.abc import Callable
from typing import Any

from shoal_scheduler.control.batch import consumables, definitions, environments, queues
from shoal_scheduler.control.batch import inputs as i
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.state.overlay import Overlay

BATCH_RULES: dict[type, Callable[[Overlay, Any, Context], Outcome]] = {
    i.RegisterJobDefinition: definitions.register,
    i.DeregisterJobDefinition: definitions.deregister,
    i.CreateJobQueue: queues.create,
    i.UpdateJobQueue: queues.update,
    i.DeleteJobQueue: queues.delete,
    i.CreateComputeEnvironment: environments.create,
    i.UpdateComputeEnvironment: environments.update,
    i.DeleteComputeEnvironment: environments.delete,
    i.CreateConsumableResource: consumables.create,
    i.UpdateConsumableResource: consumables.update,
    i.DeleteConsumableResource: consumables.delete,
}
