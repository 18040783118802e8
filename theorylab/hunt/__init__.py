"""The search for counterexamples: rescaling, shrinking, scripts."""
