"""Hostile designs as data, by class: what the judge must not pass, nor be hurt or slowed by. See ``suite.Attack``."""

from attacks.behaviour import PREDICTING, TIMING
from attacks.constructs import CONSTRUCTS, HIDDEN
from attacks.contaminating import CONTAMINATING, PORTS, UNKNOWN
from attacks.ending import ENDING
from attacks.files import FILES
from attacks.names import MACROS, REDEFINING, SWALLOWING
from attacks.printing import PRINTING
from attacks.resources import BOMBS, CRASHES, RESOURCES
from attacks.state import INSTANTIATING, READING, STATE
from attacks.suite import Attack

ATTACKS: tuple[Attack, ...] = (
    *PRINTING, *ENDING, *STATE, *READING, *INSTANTIATING, *REDEFINING, *MACROS, *SWALLOWING, *HIDDEN, *CONSTRUCTS,
    *CONTAMINATING, *PORTS, *UNKNOWN, *PREDICTING, *TIMING, *FILES, *RESOURCES, *BOMBS, *CRASHES,
)  # fmt: skip
