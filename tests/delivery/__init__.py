"""What a delivery needs around it, without AWS: a registry as ECR is one, AWS's API, a service."""
