"""How a service is deployed, as a message."""

from shoal.v1 import service_pb2 as pb

from shoal_scheduler.model.service import CircuitBreaker, DeploymentConfiguration


def configuration_message(configuration: DeploymentConfiguration) -> pb.DeploymentConfiguration:
    message = pb.DeploymentConfiguration(
        minimum_healthy_percent=configuration.minimum_healthy_percent,
        maximum_percent=configuration.maximum_percent,
        strategy="ROLLING",
        bake_time_in_minutes=configuration.bake_minutes,
        progress_time_in_minutes=configuration.progress_minutes,
        deployment_circuit_breaker=_breaker(configuration.circuit_breaker),
    )
    alarms = configuration.alarms
    if alarms.names or alarms.enable:
        message.alarms.CopyFrom(
            pb.DeploymentAlarms(alarm_names=alarms.names, enable=alarms.enable, rollback=alarms.rollback)
        )
    return message


def _breaker(it: CircuitBreaker) -> pb.DeploymentCircuitBreaker:
    return pb.DeploymentCircuitBreaker(
        enable=it.enable,
        rollback=it.rollback,
        reset_on_healthy_task=it.reset_on_healthy_task,
        threshold_configuration=pb.ThresholdConfiguration(type=it.threshold_type, value=it.threshold_value),
    )
