"""All randomness of a run derives from one integer."""

import hashlib


def derive_seed(root: int, *path: str | int) -> int:
    """Return a seed in [0, 2**63) that depends on ``root`` and on each element of ``path``.

    SHA-256 of the decimal root and the path elements: the same on every machine and Python version, and
    independent of the order in which seeds are asked for, so that a resumed run draws what the undisturbed one drew.
    """
    text = "\x1f".join([str(root), *(f"{type(p).__name__}:{p}" for p in path)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
