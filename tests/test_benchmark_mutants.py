"""The benchmark of mutants: what it draws, what its witnesses see, and how it counts."""

from pathlib import Path
from typing import Any

import pytest

from itertl.records import Score, Verdict
from itertl.scoring import interface
from itertl.scoring.item import ScoreItem
from itertl.synth.mutants import CLASSES, Mutant


@pytest.fixture(autouse=True)
def benchmarks_on_the_path(monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))


COUNTER = "module m(input clk, rst, e, output reg [3:0] q);\nalways @(posedge clk or posedge rst) if (rst) q <= 0; else if (e) q <= q + 1;\nendmodule\n"


def test_mutants_are_drawn_in_turn_and_the_same_each_time(tmp_path: Path) -> None:
    from mutation.golden import draw, references

    goldens = references(tmp_path, 30, 1)
    assert len({g.name for g in goldens}) == 30
    cases = draw(goldens, 100, 1)
    assert cases == draw(references(tmp_path, 30, 1), 100, 1) != draw(references(tmp_path, 30, 2), 100, 2)
    assert len({(c.golden.name, c.mutant.text) for c in cases}) == len(cases) >= 133
    assert len({c.golden.name for c in cases}) == 30
    assert len({c.mutant.kind for c in cases}) >= len(CLASSES) - 3


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [("", "", Verdict.PASSED), ("q + 1", "1 + q", Verdict.PASSED), ("q + 1", "q - 1", Verdict.WRONG_OUTPUT), ("posedge clk", "negedge clk", Verdict.WRONG_OUTPUT),
     ("q <= 0", "q <= 1", Verdict.WRONG_OUTPUT), (" or posedge rst", "", Verdict.WRONG_OUTPUT),
     ("[3:0] q", "[4:0] q", Verdict.ELABORATION_ERROR)],
)  # fmt: skip
def test_the_long_simulation_distinguishes_designs(old: str, new: str, verdict: Verdict) -> None:
    from mutation import arbiter

    found = arbiter.simulation(ScoreItem(COUNTER.replace(old, new), "", COUNTER, "m"))
    assert found.verdict is verdict, found.detail


def test_inputs_of_the_long_simulation_change_while_clocks_are_idle() -> None:
    from mutation.arbiter import uniform

    words = uniform(interface.read(COUNTER, "m"), 3)
    assert words == uniform(interface.read(COUNTER, "m"), 3) != uniform(interface.read(COUNTER, "m"), 4)
    clk, others = 1, 6
    changes = [(a ^ b) for a, b in zip(words.words, words.words[1:], strict=False)]
    assert not any(change & clk and change & others for change in changes)
    assert all(sum(bool(c & bit) for c in changes) > 100 for bit in (1, 2, 4))


def said(verdict: Verdict, value: float | None) -> Score:
    return Score(scorer="s", value=value, verdict=verdict)


RIGHT, WRONG, OPEN, SLOW = (
    said(Verdict.PASSED, 1),
    said(Verdict.WRONG_OUTPUT, 0.5),
    said(Verdict.UNDECIDED, None),
    said(Verdict.TIMEOUT, 0),
)


def test_the_account_by_hand(tmp_path: Path) -> None:
    from mutation.account import Judged, listing, table
    from mutation.golden import Case, Golden

    golden = Golden("g", "m", COUNTER)

    def one(kind: str, vectors: Score, equivalence: Score, simulation: Score | None, proof: Score | None) -> Any:
        return Judged(Case(golden, Mutant(kind, 1, "a", "b", COUNTER)), vectors, equivalence, simulation, proof)

    judged = [
        one("edges", WRONG, WRONG, None, WRONG),  # killed
        one("edges", SLOW, SLOW, None, OPEN),  # killed: it does not end
        one("edges", RIGHT, WRONG, RIGHT, None),  # survives, and the proof shows it
        one("edges", RIGHT, OPEN, WRONG, None),  # survives, and the simulation shows it
        one("widths", RIGHT, RIGHT, RIGHT, None),  # equal
        one("widths", RIGHT, RIGHT, WRONG, None),  # a false proof, and a survivor
        one("widths", WRONG, WRONG, None, RIGHT),  # killed, and the bare proof calls it equal
        one("widths", RIGHT, OPEN, SLOW, None),  # nothing is known: a long simulation that does not end is no word
    ]
    counts = table(judged)
    assert counts["edges"] == {
        "mutants": 4, "killable": 4, "killed_by_vectors": 2, "refuted_by_equivalence": 2, "proven_equal": 0,
        "false_proofs": 0, "bare_proofs_contradicted": 0, "undecided": 0,
    }  # fmt: skip
    assert counts["widths"] == {
        "mutants": 4, "killable": 2, "killed_by_vectors": 1, "refuted_by_equivalence": 1, "proven_equal": 2,
        "false_proofs": 1, "bare_proofs_contradicted": 1, "undecided": 1,
    }  # fmt: skip
    assert counts["all"] == {name: counts["edges"][name] + counts["widths"][name] for name in counts["edges"]}
    assert "# killable and not killed by vectors: 3" in listing(judged)


def test_rejections_keep_what_has_no_answer_separate() -> None:
    from mutation.account import rejections

    ports = Score(
        scorer="s", value=0.0, verdict=Verdict.ELABORATION_ERROR, detail="ports: port q: 4 bits, the reference has 8"
    )
    found = rejections(["a", "b", "c", "d"], [RIGHT, WRONG, OPEN, ports])
    assert (found["designs"], found["passed"]) == (4, 1)
    assert [set(found[group]) for group in ("rejected", "other_ports", "no_answer")] == [{"b"}, {"d"}, {"c"}]
