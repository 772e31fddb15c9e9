"""The client of an image registry's API, which is ECR's."""

from shoal.registry.client import RegistryClient

__all__ = ["RegistryClient"]
