"""``ast``: structural likeness to the reference, whatever things are called and in what order independent ones stand.

Both texts become trees without names, numbers and arbitrary order (``ast_tree``). The value is the Dice coefficient of
the two multisets of subtrees, 2·|A ∩ B| / (|A| + |B|): a subtree counts as often as it occurs and matches an equal one
of the other design, each once; names and numbers alone do not count, and a module's ports count as one. It is
symmetric, in [0, 1], and 1 for designs whose trees are equal. (The normalised subtree kernel of Vishwanathan and Smola,
2002, with the minimum of the counts in place of their product.)

In the spirit of VeriSeek's reward: -10 without code, -5 for a syntax error, else 10 times an AST similarity that
ignores names and integers. Here text that is not a design scores 0, and the verdict says why.

Blind to function: a wrong constant, width or operand changes nothing; a right design built another way scores low.
"""

import functools
import hashlib
from collections import Counter

from itertl.judging import gate
from itertl.records import Score, Verdict
from itertl.scoring.ast_tree import GROUPS, NAME, NUMBER, Tree, canonical
from itertl.scoring.item import ScoreItem, ScoreMaker, is_plain_name
from itertl.tools import slang
from itertl.verilog.header import derive_top


def score(item: ScoreItem) -> Score:
    """Likeness in [0, 1], SCORED; 0 with the gate's verdict where the candidate is not a design (GAMED included).

    UNJUDGEABLE where there is no reference or it is not a design itself. Raises ToolMissing.
    """
    result = ScoreMaker("ast", "slang", slang.version().rsplit(" ", 1)[-1])
    top = item.top or derive_top(item.reference or "")
    if item.reference is None or not top:
        return result.unjudgeable("no reference to compare with")
    if not is_plain_name(top):
        return result.misnamed(top)
    expected = _subtrees(item.reference, top)
    if isinstance(expected, gate.Refusal):
        return result.unjudgeable(f"the reference is not a design: {expected.verdict}: {expected.detail}")
    found = _subtrees(item.code, top)
    if isinstance(found, gate.Refusal):
        return result(0.0, found.verdict, found.detail)
    return result(dice(found, expected), Verdict.SCORED)


def dice(a: Counter[bytes], b: Counter[bytes]) -> float:
    """2·|A ∩ B| / (|A| + |B|) of two multisets; 1 where both are empty."""
    total = a.total() + b.total()
    return 2 * (a & b).total() / total if total else 1.0


@functools.lru_cache(maxsize=64)
def _subtrees(code: str, top: str) -> "Counter[bytes] | gate.Refusal":
    """The multiset of a design's subtrees, or why there is none. Kept: a problem's reference is asked for again and
    again."""
    design = gate.examine(code, top, with_variants=True)
    if isinstance(design, gate.Refusal):
        return design
    root = slang.parse(design.text).tree.root
    roots = list(root.members) if root.kind.name == "CompilationUnit" else [root]
    return subtrees(canonical(roots, slang.library().parsing.Token))


def subtrees(tree: Tree) -> Counter[bytes]:
    """Digests of all subtrees but names, numbers and what lies inside a part that counts as one."""
    counts: Counter[bytes] = Counter()
    digests: list[bytes] = []  # of finished nodes whose parent is not finished
    stack: list[tuple[Tree, bool, bool]] = [(tree, False, True)]
    while stack:
        node, is_open, is_counted = stack.pop()
        if not is_open and node.children:
            stack.append((node, True, is_counted))
            is_inside_counted = is_counted and not node.is_whole
            stack.extend((child, False, is_inside_counted) for child in reversed(node.children))
            continue
        at = len(digests) - len(node.children)
        parts = digests[at:]
        del digests[at:]
        text = b"".join((b"set", *sorted(parts)) if node.is_set else parts)
        digest = hashlib.blake2b(node.label.encode() + b"\0" + text, digest_size=16).digest()
        digests.append(digest)
        if is_counted and node.label not in (NAME, NUMBER) and node.label not in GROUPS:
            counts[digest] += 1
    return counts
