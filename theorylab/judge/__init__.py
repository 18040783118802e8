"""From measurements to verdicts: domains, comparisons, evidence."""
