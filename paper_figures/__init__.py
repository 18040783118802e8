"""Figures and tables for write-ups, drawn only from stored data."""
