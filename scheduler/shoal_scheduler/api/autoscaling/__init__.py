"""The service Autoscaling: messages in the words of Application Auto Scaling, checked and turned into inputs."""
