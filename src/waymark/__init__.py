"""Waymark: predicts customer journeys."""
