"""What can move alarms, and how each is answered."""

from dataclasses import dataclass

from shoal_scheduler.model.alarm import Alarm


@dataclass(frozen=True, slots=True)
class PutAlarm:
    """Answered with the Alarm. Of a known one the state is kept."""

    alarm: Alarm


@dataclass(frozen=True, slots=True)
class DeleteAlarms:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetAlarmState:
    """Answered with the Alarm. `version`: only of the alarm as it was then; 0 of any."""

    name: str
    state: str
    reason: str
    version: int = 0


@dataclass(frozen=True, slots=True)
class EnableAlarmActions:
    names: tuple[str, ...]
    enabled: bool


@dataclass(frozen=True, slots=True)
class AlarmDelivered:
    """The address was told of the transition of that time."""

    name: str
    address: str
    changed_at: int


AlarmInput = PutAlarm | DeleteAlarms | SetAlarmState | EnableAlarmActions | AlarmDelivered
