"""A brand whose persons, devices and journeys are drawn from a known law: the embedded default."""
