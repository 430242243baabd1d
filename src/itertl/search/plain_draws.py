"""What plain draws would have solved with the tokens that searches drew: what a search is worth more than.

Each problem's chance p that a draw is right is taken to come from one Beta distribution, fitted by moments to the draws
of the first round, which are plain: ``m1 = E[p]`` and ``m2 = E[p²]`` have unbiased estimates from c right ones of b,
``c/b`` and ``c(c-1)/(b(b-1))``. A search that no first draw solved then knows that much more of its problem, and e
further draws solve it with the probability ``1 - B(α, β+b+e)/B(α, β+b)``. Example: 0, 1 and 2 right of 2 give
Beta(1, 1), and two more draws solve the first with the probability 0.4.
"""

import math
from collections.abc import Iterable, Sequence

from itertl.records import Attempt
from itertl.search.strategy import is_right


def expected_solved(searches: Iterable[Sequence[Attempt]]) -> float | None:
    """How many of the searches plain draws of as many tokens are expected to solve, by what the strategy looks at.

    None where no first round is of two plain draws at least, from which to tell how problems differ.
    """
    firsts: list[tuple[int, int, float]] = []  # draws of the first round, right ones, draws' worth of the rest
    for attempts in searches:
        plain = [a for a in attempts if a.round == 0 and not a.kind and a.candidate.continued is None]
        tokens = sum(a.candidate.completion_tokens for a in plain)
        if len(plain) < 2 or not tokens:
            return None
        rest = sum(a.candidate.completion_tokens for a in attempts) - tokens
        firsts.append((len(plain), sum(map(is_right, plain)), rest * len(plain) / tokens))
    if not firsts:
        return None
    m1 = sum(c / b for b, c, _ in firsts) / len(firsts)
    m2 = sum(c * (c - 1) / (b * (b - 1)) for b, c, _ in firsts) / len(firsts)
    return sum(1.0 if c else _later(m1, m2, b, extra) for b, c, extra in firsts)


def _later(m1: float, m2: float, before: int, extra: float) -> float:
    """The chance that one of ``extra`` draws is right behind ``before`` wrong ones."""
    if m1 in (0.0, 1.0) or m2 >= m1:  # none ever, or a problem's draws are all alike
        return 0.0
    if m2 <= m1 * m1:  # problems do not differ
        return 1 - (1 - m1) ** extra
    size = (m1 - m2) / (m2 - m1 * m1)
    alpha, beta = m1 * size, (1 - m1) * size + before
    return 1 - math.exp(_log_beta(alpha, beta + extra) - _log_beta(alpha, beta))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
