"""AWS Batch at the door: job definitions, queues, compute environments, consumable resources, jobs."""
