"""Whole studies as library functions: power, sweeps, pages."""
