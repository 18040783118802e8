"""Exact answers: worst cases by semidefinite programs, tabular counterexamples in rationals."""
