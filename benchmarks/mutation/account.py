"""From scores to the account: which mutants can be distinguished from their reference at all, and by what."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from itertl.records import Score, Verdict
from itertl.synth.mutants import CLASSES
from mutation.golden import Case


@dataclass(frozen=True, slots=True)
class Judged:
    """A mutant with what the two scorers say, and what a witness says that was asked."""

    case: Case
    vectors: Score
    equivalence: Score
    simulation: Score | None = None
    proof: Score | None = None

    @property
    def is_refuted(self) -> bool:
        """Whether a replayed counterexample (or another port) shows it different."""
        return _says_different(self.equivalence) or _says_different(self.proof)

    @property
    def is_simulated_apart(self) -> bool:
        return self.is_killed or _says_different(self.simulation)

    @property
    def is_killed(self) -> bool:
        """Whether ``vectors`` rejects it; one that never ends is rejected too."""
        return self.vectors.value is not None and self.vectors.verdict is not Verdict.PASSED

    @property
    def is_killable(self) -> bool:
        return self.is_refuted or self.is_simulated_apart

    @property
    def is_proven(self) -> bool:
        return self.equivalence.verdict is Verdict.PASSED

    @property
    def is_false_proof(self) -> bool:
        return self.is_proven and self.is_simulated_apart

    @property
    def is_contradicted(self) -> bool:
        """Whether the proof alone calls equal what a simulation shows different."""
        return self.proof is not None and self.proof.verdict is Verdict.PASSED and self.is_simulated_apart


def _says_different(score: Score | None) -> bool:
    """A timeout of the proof or of a long simulation says nothing about the design."""
    return score is not None and score.value is not None and score.verdict not in (Verdict.PASSED, Verdict.TIMEOUT)


def table(judged: Sequence[Judged]) -> dict[str, dict[str, int]]:
    """Counts by class, and of all."""
    found = {kind: _counts([one for one in judged if one.case.mutant.kind == kind]) for kind in CLASSES}
    return {**{kind: counts for kind, counts in found.items() if counts["mutants"]}, "all": _counts(judged)}


def _counts(judged: Sequence[Judged]) -> dict[str, int]:
    killable = [one for one in judged if one.is_killable]
    return {
        "mutants": len(judged),
        "killable": len(killable),
        "killed_by_vectors": sum(one.is_killed for one in killable),
        "refuted_by_equivalence": sum(one.is_refuted for one in killable),
        "proven_equal": sum(one.is_proven for one in judged),
        "false_proofs": sum(one.is_false_proof for one in judged),
        "bare_proofs_contradicted": sum(one.is_contradicted for one in judged),
        "undecided": sum(not one.is_killable and not one.is_proven for one in judged),
    }


def rejections(names: Sequence[str], scores: Sequence[Score]) -> dict[str, Any]:
    """Of designs that are right: how many passed, and which did not. Those with other ports are other designs."""
    groups: dict[str, dict[str, str]] = {"rejected": {}, "other_ports": {}, "no_answer": {}}
    for name, score in zip(names, scores, strict=True):
        if score.verdict is not Verdict.PASSED:
            is_other = score.detail.removeprefix("ports: ").startswith("port ")
            group = "no_answer" if score.value is None else "other_ports" if is_other else "rejected"
            groups[group][name] = f"{score.verdict}: {score.detail}"
    passed = sum(score.verdict is Verdict.PASSED for score in scores)
    return {"designs": len(scores), "passed": passed, **groups}


def listing(judged: Sequence[Judged]) -> str:
    """Mutants to look at by hand: false proofs, survivors, those of which nothing is known; with both texts."""
    groups = {
        "proven equal and shown different": [one for one in judged if one.is_false_proof],
        "called equal by the proof alone and shown different": [one for one in judged if one.is_contradicted],
        "killable and not killed by vectors": [one for one in judged if one.is_killable and not one.is_killed],
        "neither proven equal nor shown different": [
            one for one in judged if not one.is_killable and not one.is_proven
        ],
    }
    return "\n".join(f"# {title}: {len(group)}\n\n" + "\n".join(map(_shown, group)) for title, group in groups.items())


def _shown(one: Judged) -> str:
    mutant = one.case.mutant
    said = [
        f"{s.scorer}: {s.verdict} {s.detail}".rstrip()
        for s in (one.vectors, one.equivalence, one.simulation, one.proof)
        if s is not None
    ]
    head = f"## {one.case.golden.name}: {mutant.kind}, line {mutant.line}: {mutant.was!r} became {mutant.now!r}\n"
    return head + "\n".join(said) + f"\n\n{one.case.golden.text.rstrip()}\n"


def verdicts(scores: Sequence[Score | None]) -> dict[str, int]:
    """How often each verdict was given, of those that were asked."""
    return dict(Counter(score.verdict.value for score in scores if score is not None).most_common())
