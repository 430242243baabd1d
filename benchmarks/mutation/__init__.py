"""Parts of the benchmarks that measure scorers of function on mutants: references, an arbiter, the account."""
