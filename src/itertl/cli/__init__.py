"""The command line. Each command parses, calls one function of the package, and prints. Imports are lazy."""

from itertl.cli import audit, chat, data, evaluate, install, model, run, stages, writing
from itertl.cli.app import app, main

__all__ = ["app", "audit", "chat", "data", "evaluate", "install", "main", "model", "run", "stages", "writing"]
