"""Pairs that a teacher writes: instructions and code of its own, and descriptions of code that exists."""
