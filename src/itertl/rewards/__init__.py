"""The judge and the function scorers as rewards of other trainers: verl, TRL, verifiers, and any that calls a function.

Each keeps warm workers in a process of its own beside the trainer (``keeper``), remembers every answer by content, and
never raises in the middle of a training. What a model cannot be blamed for is no reward: None, or a neutral value with
a flag. See docs/rewards-elsewhere.md. ``itertl.rewards.verifiers`` needs the library of that name and is imported by
itself. Imports neither torch nor any trainer.
"""

from itertl.rewards.answer import Reward
from itertl.rewards.rewarder import Rewarder
from itertl.rewards.trl import VerilogReward
from itertl.rewards.verl import compute_score, compute_scores

verilog_reward = VerilogReward()  # with the settings of ``settings.DEFAULT``, for trainers that take a name
__all__ = ["Reward", "Rewarder", "VerilogReward", "compute_score", "compute_scores", "verilog_reward"]
