"""Services of Amazon ECS at the door: services, their deployments and revisions, the protection of tasks."""
