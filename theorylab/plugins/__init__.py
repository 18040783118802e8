"""Registries filled by entry points, the results store, provenance."""
