"""The one driver of a step: thousands of replicas from randomness drawn ahead."""
