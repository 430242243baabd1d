"""Scorers of test_ray.py: they show on which host they work, and take their time."""

import os
import time
from pathlib import Path

from itertl.records import Score, Verdict
from itertl.scoring.item import ScoreItem


def length(item: ScoreItem) -> Score:
    """The share of even characters. Leaves a mark in the folder of its node's TMPDIR."""
    Path(os.environ.get("TMPDIR", "/tmp"), "scored").touch()
    time.sleep(0.2)
    value = sum(ord(c) % 2 == 0 for c in item.code) / max(1, len(item.code))
    return Score(scorer="ray_cases:length", value=value, verdict=Verdict.SCORED, detail="")
