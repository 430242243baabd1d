"""Benchmarks as values, verdicts on completions, pass@k with its interval."""
