"""itertl: iterative fine-tuning of language models for RTL code (sample, score, train, evaluate, again)."""

__version__ = "0.1.0"
