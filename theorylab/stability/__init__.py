"""Perturbed twins: uniform stability measured."""
