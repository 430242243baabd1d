"""From characters to tokens, from tokens to the loss: credit by signal, by hand and against a naive loop."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import training_cases as cases
from itertl.config import PromptConfig, TrainConfig
from itertl.errors import DataError
from itertl.records import Problem, Score, Scored, Signal, Verdict
from itertl.runs import storage
from itertl.training.batches import Group, GroupSet, Response, build_groups
from itertl.training.credit import OutputTokens
from itertl.training.methods import Method, resolve_method
from itertl.training.objective import group_loss
from itertl.training.round import TrainResult

METHOD = resolve_method("itertl", TrainConfig(credit="signal"))
SALV = resolve_method("salv", TrainConfig())
HEAD = "module m(input a, output y, output z);\n"
REFERENCE = HEAD + "assign y = a;\nassign z = ~a;\nendmodule\n"
CODE = HEAD + "// größer\nassign y = ~a;\n  assign z = ~a;\nendmodule\n"


def trained(kind: str) -> Any:
    """A tokenizer with tokens of several characters: bytes that were merged, or words that begin with their space."""
    made = Tokenizer(models.BPE(unk_token=None))
    words = kind == "words"
    made.pre_tokenizer = pre_tokenizers.Metaspace() if words else pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    made.decoder = decoders.Metaspace() if words else decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = [] if words else pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, special_tokens=["<end>"])  # type: ignore[call-arg]
    made.train_from_iterator([REFERENCE, CODE, "Make m.\nSure, größer:\nDone. no such code"], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return cases.tiny(tmp_path_factory.mktemp("models"))[1]


def spans(code: str, *texts: str) -> tuple[tuple[int, int], ...]:
    return tuple((code.index(text), code.index(text) + len(text)) for text in texts)


def row(problem: Problem, index: int, code: str, *, right: str = "z", clear: bool = True, **fields: Any) -> Scored:
    """A candidate of which one output is right, scored by vectors and signals."""
    found = tuple(
        Signal(
            output=name, is_right=name in right, spans=spans(code, f"assign {name} = ~a;") if clear else None,
            reference_spans=spans(REFERENCE, {"y": "assign y = a;", "z": "assign z = ~a;"}[name]),
        )
        for name in "yz"
    )  # fmt: skip
    made = cases.scored(problem, index, code, 0.5, **fields)
    score = Score(scorer="signals", value=0.5, verdict=Verdict.SCORED, signals=found)
    return made.model_copy(update={"scores": (*made.scores, score)})


def spelled_bytes(text: str) -> str:
    """A text as the byte-level tokens that are one byte each."""
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)[0][0]


def build(
    rows: list[Scored], problem: Problem, tokenizer: Any, prompt: PromptConfig = cases.PROMPT, **train: Any
) -> GroupSet:
    config = TrainConfig(**train)
    return build_groups(rows, [problem], tokenizer, prompt=prompt, score=cases.SCORE, train=config, method=METHOD)


def spelled(tokenizer: Any, response: Response, output: str) -> str | None:
    (found,) = [s.tokens for s in response.signals or () if s.output == output]
    return None if found is None else tokenizer.decode([response.token_ids[at] for at in found])


@pytest.mark.parametrize("kind", ["bytes", "merged", "words"])
def test_tokens_that_count_are_those_of_the_driving_statements(kind: str, tokenizer: Any) -> None:
    """As code, as the model wrote it (prose around, or the header left to the prompt), and in the reference."""
    tokenizer = tokenizer if kind == "bytes" else trained(kind)
    problem = Problem.create(instruction="Make m.", header=HEAD, reference=REFERENCE, source="test")
    body = CODE.removeprefix(HEAD)
    rows = [row(problem, 0, CODE), row(problem, 1, CODE, text=f"Sure, größer:\n{CODE}Done."),
            row(problem, 2, CODE, text=body), row(problem, 3, CODE, text="no such code"),
            row(problem, 4, CODE, clear=False)]  # fmt: skip
    for taken, prompt, lost in (
        ("code", "omit", set[int]()), ("raw", "omit", {3}), ("raw", "append", {3}), ("code", "prefill", set[int]()),
    ):  # fmt: skip
        (group,) = build(
            rows, problem, tokenizer, PromptConfig(style="plain", header=prompt), candidate_text=taken  # type: ignore[arg-type]
        ).groups  # fmt: skip
        for number, response in enumerate(group.responses[:-1]):
            is_lost = number == 4 or number in lost
            for output in "yz":
                text = spelled(tokenizer, response, output)
                assert text is None if is_lost else f"assign {output} = ~a;" in (text or ""), (taken, prompt, number)
                is_near = len(text or "") <= len(f"assign {output} = ~a;") + 6  # tokens at its ends stand over
                assert is_lost or is_near or kind == "words"
        assert "assign y = a;" in (spelled(tokenizer, group.reference, "y") or "")
        assert all(s.is_right for s in group.reference.signals or ())


def test_sampled_ids_are_mapped_as_they_are() -> None:
    """One token a byte, which the tokenizer would not choose: the slice is exactly the statement."""
    tokenizer = trained("merged")
    problem = Problem.create(instruction="Make m.", reference=REFERENCE, source="test")
    single = [i for c in spelled_bytes(CODE) for i in [tokenizer.convert_tokens_to_ids(c)]]
    assert len(single) > len(tokenizer.encode(CODE, add_special_tokens=False))
    ids = (*single, tokenizer.eos_token_id)
    (group,) = build([row(problem, 0, CODE, token_ids=ids)], problem, tokenizer).groups
    assert group.responses[0].token_ids == ids
    assert [spelled(tokenizer, group.responses[0], o) for o in "yz"] == ["assign y = ~a;", "assign z = ~a;"]


def test_who_is_compared_and_what_is_counted(tokenizer: Any) -> None:
    """The reference against both candidates; the second candidate, which has y right, against the first, and back."""
    problem = Problem.create(instruction="Make m.", reference=REFERENCE, source="test")
    refuted = row(problem, 2, CODE, right="yz")
    wrong = Score(scorer="equivalence", value=0.0, verdict=Verdict.WRONG_OUTPUT)
    refuted = refuted.model_copy(update={"scores": (*refuted.scores, wrong)})  # all outputs right, but refuted: unknown
    rows = [row(problem, 0, CODE), row(problem, 1, CODE, right="y", clear=False), refuted]
    found = build(rows, problem, tokenizer)
    (group,) = found.groups
    pairs = group.signal_pairs
    assert [(p.worse, p.better) for p in pairs] == [(0, 1), (0, 3), (1, 0), (1, 3)] == group.pairs(METHOD)
    assert group.needed(METHOD) == (0, 1, 3) and found.num_active_pairs(METHOD) == 3
    assert (
        pairs[0].better_tokens is None and pairs[0].worse_tokens == next(iter(group.responses[0].signals or ())).tokens
    )
    counts = found.credit_counts(METHOD)
    assert (counts.signal_pairs, counts.signal_pairs_clear) == (4, 1)
    shares = [len(t) / len(group.responses[k].token_ids) if t is not None else 1.0
              for p in pairs for k, t in ((p.worse, p.worse_tokens), (p.better, p.better_tokens))]  # fmt: skip
    assert counts.share_slice_tokens == pytest.approx(sum(shares) / 8)
    other = build([row(problem, 0, CODE, right="yz"), *rows[1:]], problem, tokenizer)
    assert found.digest != other.digest
    with pytest.raises(DataError, match=r"train\.credit: signal.*none of the 1 candidates.*score\.scorers"):
        build([cases.scored(problem, 0, CODE, 0.5)], problem, tokenizer)


def group_of(*tables: tuple[OutputTokens, ...] | None, lengths: tuple[int, ...]) -> Group:
    made = [
        Response((100 + k, *range(n - 1)), 0.5, signals=t) for k, (t, n) in enumerate(zip(tables, lengths, strict=True))
    ]
    return Group("p", (1,), (*made[:-1], Response(made[-1].token_ids, 1.0, True, signals=made[-1].signals)))


def test_hinge_and_dpo_by_hand() -> None:
    """One candidate of 3 tokens, log P (-1, -2, -4), y wrong on its tokens 1 and 2: p = (-2 - 4)/2 = -3. The reference,
    log P (-0.5, -1, -3, -1), has y right on its tokens 0 and 3: p = (-0.5 - 1)/2 = -0.75. Its cross-entropy is
    5.5/4 = 1.375.

    With a margin of 0.3 the hinge is max(-3 + 0.75 + 0.3, 0) = 0: nothing flows. With 2.5 it is 0.25, and λ = 1.375:
    L = 1.375 + 1.375·0.25; its gradient is 1.375/2 on tokens 1 and 2 of the candidate, 0 on token 0, and -1.375/2 on 0
    and 3 of the reference, beside -1/4 on each of its tokens.

    DPO against a first policy with log P -2 everywhere: Δ(better) = (-0.5 + 2) + (-1 + 2) = 2.5, Δ(worse) = 0 - 2 = -2:
    L = log(1 + exp(-0.1·4.5)), and its gradient is ±0.1/(1 + exp(0.45)) on these tokens alone.
    """
    group = group_of((OutputTokens("y", False, (1, 2)),), (OutputTokens("y", True, (0, 3)),), lengths=(3, 4))

    def loss(method: Method, initial: Any = None) -> tuple[float, list[list[float]], int]:
        logp = {0: torch.tensor([-1.0, -2, -4], requires_grad=True), 1: torch.tensor([-0.5, -1, -3, -1])}
        logp[1].requires_grad_()
        total, sums = group_loss(group, logp, method, initial)
        total.backward()
        slopes = [v.grad.tolist() if v.grad is not None else [0.0] * len(v) for v in logp.values()]
        return float(total.detach()), slopes, int(sums.hinged)

    quarter = pytest.approx([-0.25] * 4)
    assert loss(METHOD) == (pytest.approx(1.375), [[0.0] * 3, quarter], 0)
    half = 1.375 / 2
    wide = resolve_method("itertl", TrainConfig(credit="signal", alpha=2.5))
    total, slopes, hinged = loss(wide)
    assert (total, hinged) == (pytest.approx(1.375 * 1.25), 1)
    assert slopes[0] == pytest.approx([0, half, half])
    assert slopes[1] == pytest.approx([-0.25 - half, -0.25, -0.25, -0.25 - half])
    total, slopes, _ = loss(SALV, {0: torch.full((3,), -2.0), 1: torch.full((4,), -2.0)})
    slope = 0.1 / (1 + math.exp(0.45))
    assert total == pytest.approx(math.log(1 + math.exp(-0.45)))
    assert slopes[0] == pytest.approx([0, slope, slope]) and slopes[1] == pytest.approx([-slope, 0, 0, -slope])


@st.composite
def groups(draw: st.DrawFn) -> tuple[Group, list[list[float]]]:
    """Two to four responses with outputs y and z; the last has both right, as the reference."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=2, max_size=4))
    tables: list[tuple[OutputTokens, ...] | None] = []
    for number, n in enumerate(lengths):
        some = st.none() | st.sets(st.integers(0, n - 1), min_size=1).map(lambda s: tuple(sorted(s)))
        right = st.booleans() if number < len(lengths) - 1 else st.just(True)
        known = st.tuples(*(st.builds(OutputTokens, st.just(name), right, some) for name in "yz"))
        tables.append(draw(known if number == len(lengths) - 1 else st.none() | known))
    values = [draw(st.lists(st.floats(-5, 0), min_size=n, max_size=n)) for n in lengths]
    return group_of(*tables, lengths=tuple(lengths)), values


@given(groups(), st.floats(-1, 3))
@settings(max_examples=30, deadline=None)
def test_loss_and_gradient_equal_a_naive_loop(case: tuple[Group, list[list[float]]], alpha: float) -> None:
    """Each pair, each output, each token by itself; whole texts where one of a pair's outputs is not clear."""
    group, values = case
    method = resolve_method("itertl", TrainConfig(credit="signal", alpha=alpha, ranking_weight=1.0, ce_weight=0.0))
    expected, slopes = 0.0, [[0.0] * len(v) for v in values]
    for k, worse in enumerate(group.responses):
        for tau, better in enumerate(group.responses):
            if worse.signals is None or better.signals is None:
                continue
            differ = [o for o in (0, 1) if better.signals[o].is_right and not worse.signals[o].is_right]
            if not differ:
                continue
            counted, p = list[list[int]](), list[float]()
            for index, side in ((k, worse), (tau, better)):
                chosen = [side.signals[o].tokens for o in differ]  # type: ignore[index]
                at = [t for t in range(len(values[index])) if any(c is None or t in c for c in chosen)]
                counted.append(at)
                p.append(sum(values[index][t] for t in at) / len(at))
            if p[0] - p[1] + alpha > 0:
                expected += p[0] - p[1] + alpha
                for index, at, sign in ((k, counted[0], 1), (tau, counted[1], -1)):
                    for t in at:
                        slopes[index][t] += sign / len(at)
    needed = group.needed(method)
    kept = {index: torch.tensor(values[index], dtype=torch.float64, requires_grad=True) for index in needed}
    total, _ = group_loss(group, kept, method)
    assert float(total.detach()) == pytest.approx(expected, abs=1e-9)
    if total.requires_grad:
        total.backward()
    for index in needed:
        grad = kept[index].grad
        assert (grad if grad is not None else torch.zeros(len(values[index]))).tolist() == pytest.approx(
            slopes[index], abs=1e-9
        )


class Impatient:
    """A tracker whose user interrupts after so many groups."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __enter__(self) -> "Impatient":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def advance(self, count: int = 1, note: str = "") -> None:
        self.left -= count
        if self.left <= 0:
            raise KeyboardInterrupt


def test_a_round_by_signal_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    model = cases.tiny(tmp_path)[0]
    problems = [Problem.create(instruction=f"Make {n}.", reference=REFERENCE, source="test") for n in range(3)]
    rows = [row(p, n, CODE, right="zy"[n]) for p in problems for n in range(2)]

    def run(name: str, **options: Any) -> TrainResult:
        settings = {"groups_per_step": 1, "epochs": 1, "name": "salv", "options": options}
        return cases.run_stage(tmp_path / name, model, problems, rows, **settings)

    calm = run("calm")
    with pytest.raises(KeyboardInterrupt):
        run("cut", stage=lambda total, done: Impatient(3))
    assert (tmp_path / "cut/train-state/progress.json").exists()
    assert run("cut") == calm and (calm.signal_pairs, calm.signal_pairs_clear) == (12, 12)
    assert calm.share_slice_tokens is not None and 0 < calm.share_slice_tokens < 0.5
    assert calm.share_hinged == calm.share_active_pairs == 1  # of unordered pairs, whose third is in both orders
    for name in ("checkpoint", "train.jsonl"):
        assert storage.hash_file(tmp_path / "cut" / name) == storage.hash_file(tmp_path / "calm" / name)


@pytest.mark.parametrize("verdict", [Verdict.TIMEOUT, Verdict.TOOL_FAILED, Verdict.UNDECIDED])
def test_what_was_not_compared_to_the_end_is_in_no_pair(verdict: Verdict, tokenizer: Any) -> None:
    """Not even where the score that ran out of time lists the outputs, all of them wrong."""
    problem = Problem.create(instruction="Make m.", header=HEAD, reference=REFERENCE, source="test")
    made = row(problem, 0, CODE, right="", clear=False)
    value = 0.0 if verdict is Verdict.TIMEOUT else None
    ended = made.scores[-1].model_copy(update={"verdict": verdict, "value": value})
    rows = [made.model_copy(update={"scores": (*made.scores[:-1], ended)}), row(problem, 1, CODE)]
    (group,) = build(rows, problem, tokenizer).groups
    assert [response.signals is None for response in group.responses] == [True, False, False]
    assert {(pair.worse, pair.better) for pair in group.signal_pairs} == {(1, 2)}
