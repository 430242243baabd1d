"""From scored candidates to groups: which text, which ids, and an account of what is left out."""

import math
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import training_cases as cases
from itertl.config import PromptConfig, TrainConfig
from itertl.errors import DataError
from itertl.records import Problem, Score, Scored, Verdict
from itertl.training import losses
from itertl.training.batches import Group, GroupSet, Response, build_groups
from itertl.training.blocks import fill
from itertl.training.methods import METHODS, Method, accept
from itertl.training.shift import sampled_pieces
from itertl.work.seeds import derive_seed


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return cases.tiny(tmp_path_factory.mktemp("models"))[1]


def build(
    rows: list[Scored], problems: list[Problem], tokenizer: Any, method: Method = METHODS["itertl"], **train: Any
) -> GroupSet:
    prompt = train.pop("prompt", cases.PROMPT)
    return build_groups(
        rows, problems, tokenizer, prompt=prompt, score=cases.SCORE, train=TrainConfig(**train), method=method
    )


def test_group_is_candidates_in_order_then_the_reference(tokenizer: Any) -> None:
    item = cases.problem(0)
    rows = [cases.scored(item, 1, "module b; endmodule", 0.5), cases.scored(item, 0, "module a; endmodule", 0.25)]
    (group,) = build(rows, [item], tokenizer).groups
    texts = [tokenizer.decode(r.token_ids[:-1]) for r in group.responses]
    assert texts == ["module a; endmodule", "module b; endmodule", item.reference]
    assert [r.z for r in group.responses] == [0.25, 0.5, 1.0]
    assert [r.is_reference for r in group.responses] == [False, False, True]
    assert all(r.token_ids[-1] == tokenizer.eos_token_id for r in group.responses)
    assert tokenizer.decode(group.prompt_ids).endswith("Module 0.\n")


def test_sampled_ids_are_used_where_the_text_is_the_sampled_one(tokenizer: Any) -> None:
    item, code, ids = cases.problem(0), "module a; endmodule", (9, 8, 7)
    trained = [
        cases.scored(item, 0, code, 0.5, token_ids=ids),  # code is the text
        cases.scored(item, 1, code + "\n", 0.5, text=code, token_ids=ids),  # up to white space
        cases.scored(item, 2, code, 0.5, text=f"Sure!\n{code}", token_ids=ids),  # prose was cut: not what was sampled
        cases.scored(item, 3, "", 0.0, text="no code", token_ids=ids),  # still to be pushed down, as written
    ]
    (group,) = build(trained, [item], tokenizer).groups
    assert [r.token_ids == ids for r in group.responses] == [True, True, False, True, False]
    assert tokenizer.decode(group.responses[2].token_ids[:-1]) == code
    (raw,) = build(trained, [item], tokenizer, candidate_text="raw").groups
    assert [r.token_ids == ids for r in raw.responses] == [True, True, True, True, False]


def test_truncated_raw_text_has_no_end_token(tokenizer: Any) -> None:
    item = cases.problem(0)
    rows = [
        cases.scored(item, 0, "", 0.0, text="module a;", finish="length"),
        cases.scored(item, 1, "", 0.0, text="module a;"),
    ]
    (group,) = build(rows, [item], tokenizer, candidate_text="raw").groups
    cut, ended = group.responses[0].token_ids, group.responses[1].token_ids
    assert ended == (*cut, tokenizer.eos_token_id)


def test_prefilled_header_belongs_to_the_prompt(tokenizer: Any) -> None:
    header = "module m(output y);\n"
    item = Problem.create(instruction="Do.", header=header, reference=header + "assign y = 1;\nendmodule\n", source="t")
    rows = [cases.scored(item, 0, header + "endmodule", 0.5, text="endmodule", token_ids=(5, 6))]
    (group,) = build(rows, [item], tokenizer, prompt=PromptConfig(style="plain", header="prefill")).groups
    assert tokenizer.decode(group.prompt_ids).endswith(header)
    assert group.responses[0].token_ids == (5, 6)
    assert tokenizer.decode(group.reference.token_ids[:-1]) == "assign y = 1;\nendmodule\n"


def test_everything_left_out_is_counted(tokenizer: Any) -> None:
    good, long_reference = cases.problem(0), cases.problem(1, "module m; " + "wire w; " * 40 + "endmodule")
    none = Problem.create(instruction="No reference.", source="t")
    blank = Problem.create(instruction="Blank reference.", reference=" \n", source="t")
    long_prompt = Problem.create(instruction="x" * 200, reference="module m; endmodule", source="t")
    rows = [
        cases.scored(good, 0, "module a; endmodule", 0.5),
        cases.scored(good, 1, "module a; endmodule", 0.5),  # duplicate of the first
        cases.scored(good, 2, good.reference or "", 1.0),  # duplicate of the reference
        cases.scored(good, 3, "module b; " + "wire w; " * 40, 0.5),  # too long
        cases.scored(good, 4, "module c; endmodule", None),  # unscored by our fault
        cases.scored(good, 5, "", 0.0, text="", finish="length"),  # the prompt left no room
        cases.scored(good, 6, "", 0.0, text="", token_ids=()),  # an endpoint held the answer back
        cases.scored(long_reference, 0, "module a; endmodule", 0.5),
        cases.scored(none, 0, "module a; endmodule", 0.5),
    ]
    result = build(rows, [good, long_reference, none, blank, long_prompt], tokenizer, max_length=120)
    counts = result.counts
    assert [g.problem_id for g in result.groups] == [good.id]
    assert (counts.problems_without_reference, counts.prompts_too_long, counts.references_too_long) == (2, 1, 1)
    assert (counts.candidates, counts.duplicates) == (3, 2)
    assert (counts.candidates_too_long, counts.candidates_unscored, counts.candidates_empty) == (1, 1, 2)
    assert counts.candidates_of_dropped == 2
    kept = counts.candidates + counts.candidates_too_long + counts.candidates_unscored + counts.candidates_empty
    assert kept + counts.candidates_of_dropped == len(rows)


def test_an_answer_that_ends_at_once_is_its_end_token(tokenizer: Any) -> None:
    """In either text, behind a prefilled header too; it is pushed down, and never imitated."""
    header = "module m(output y);\n"
    item = Problem.create(instruction="Do.", header=header, reference=header + "assign y = 1;\nendmodule\n", source="t")
    end, other = tokenizer.eos_token_id, tokenizer.bos_token_id
    rows = [cases.scored(item, n, "", 0.0, text="", token_ids=ids) for n, ids in enumerate([(end,), None, (other,)])]
    rows.append(cases.scored(item, 3, "", 0.0, text="Sorry."))
    form = PromptConfig(style="plain", header="prefill", opening="```verilog\n")
    for text in ("code", "raw"):
        result = build(rows, [item], tokenizer, candidate_text=text, prompt=form)
        (group,) = result.groups
        assert [r.token_ids for r in group.responses[:3]] == [(end,), (end,), (other,)]
        assert (result.counts.candidates, result.counts.candidates_empty, result.counts.duplicates) == (4, 0, 1)
        assert group.needed(METHODS["itertl"]) == (0, 1, 2, 3, 4)
        assert group.ce_targets(METHODS["raft"]) == {3: 1.0}
        assert replace(group, responses=(*group.responses[:3], group.reference)).ce_targets(METHODS["raft"]) == {}


def test_length_limit_is_exact(tokenizer: Any) -> None:
    item = cases.problem(0)
    (group,) = build([], [item], tokenizer).groups
    length = len(group.prompt_ids) + len(group.reference.token_ids)
    assert len(build([], [item], tokenizer, max_length=length).groups) == 1
    assert build([], [item], tokenizer, max_length=length - 1).counts.references_too_long == 1


def test_prompts_of_half_the_length_are_left_out_as_rtlcoder_does(tokenizer: Any) -> None:
    item = cases.problem(0)
    (group,) = build([], [item], tokenizer).groups
    limit = 2 * len(group.prompt_ids)
    fits = cases.problem(0, "m")
    assert len(build([], [fits], tokenizer, METHODS["rtlcoder"], max_length=limit).groups) == 0
    assert len(build([], [fits], tokenizer, METHODS["rtlcoder"], max_length=limit + 1).groups) == 1
    assert len(build([], [fits], tokenizer, max_length=limit).groups) == 1


def test_method_without_candidates_gets_references_alone(tokenizer: Any) -> None:
    made = cases.case(3)
    result = build(made.rows, made.problems, tokenizer, METHODS["sft"])
    assert [len(g.responses) for g in result.groups] == [1, 1, 1]


def test_bad_input_is_a_data_error(tokenizer: Any) -> None:
    item = cases.problem(0)
    with pytest.raises(DataError, match="not among the 1"):
        build([cases.scored(cases.problem(1), 0, "module a; endmodule", 0.5)], [item], tokenizer)
    with pytest.raises(DataError, match="given twice"):
        build([], [item, item], tokenizer)


def test_odd_text_becomes_ids_of_the_vocabulary(tokenizer: Any) -> None:
    texts = ["module \ud800;", "\x00endmodule", "模块\r\n", "\ufeffmodule <|im_end|> m; endmodule"]
    item = cases.problem(0)
    rows = [cases.scored(item, i, text, 0.5) for i, text in enumerate(texts)]
    result = build(rows, [item], tokenizer)
    (group,) = result.groups
    assert len(group.responses) == 5
    assert all(r.token_ids.count(tokenizer.eos_token_id) == 1 for r in group.responses)
    assert len(result.digest) == 64


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from([0.0, 0.3, 0.6, 0.75, 0.8, 1.0]), max_size=5),
    st.sampled_from([0.0, 0.2, 0.5]),
    st.booleans(),
)
def test_needed_responses_are_those_that_an_active_pair_names(z: list[float], beta: float, softmax: bool) -> None:
    responses = tuple(Response((1,), value) for value in z)
    group = Group("p", (1,), (*responses, Response((1,), 1.0, is_reference=True)))
    active = losses.active_pairs([*z, 1.0], beta)
    assert [list(pair) for pair in group.active_pairs(beta)] == active.nonzero().tolist()
    needed = group.needed(Method("m", beta=beta, softmax=softmax))
    in_pair = (active.any(0) | active.any(1)).tolist()
    in_pair[-1] = True
    expected = [True] * len(in_pair) if softmax and bool(active.any()) else in_pair
    assert needed == tuple(i for i, is_needed in enumerate(expected) if is_needed)


def test_shift_is_measured_on_the_text_as_sampled(tokenizer: Any) -> None:
    bare, one, two = cases.problem(0), cases.problem(1), cases.problem(2)
    rows = [cases.scored(one, 0, "module a; endmodule", None, text="Sure: module a; endmodule", token_ids=(4, 5, 6)),
            cases.scored(two, 0, "module b; endmodule", 0.5, token_ids=(7, 8))]  # fmt: skip
    common = {"prompt": cases.PROMPT, "train": TrainConfig()}
    found = sampled_pieces(rows, [bare, one, two], tokenizer, num_problems=1, **common)  # type: ignore[arg-type]
    assert [piece.responses for piece in found] == [((4, 5, 6),)]
    assert len(sampled_pieces(rows, [bare, one, two], tokenizer, num_problems=9, **common)) == 2  # type: ignore[arg-type]
    assert sampled_pieces(rows, [bare, one, two], tokenizer, num_problems=0, **common) == []  # type: ignore[arg-type]


def test_digest_tells_groups_apart(tokenizer: Any, tmp_path: Path) -> None:
    item = cases.problem(0)
    one = build([cases.scored(item, 0, "module a; endmodule", 0.5)], [item], tokenizer)
    other = build([cases.scored(item, 0, "module a; endmodule", 0.6)], [item], tokenizer)
    assert one.digest == build([cases.scored(item, 0, "module a; endmodule", 0.5)], [item], tokenizer).digest
    assert one.digest != other.digest


def test_mixed_leaves_out_the_candidates_of_a_group_of_one_z(tokenizer: Any) -> None:
    """Exactly one z among the candidates, whatever the reference's: it stays where its cross-entropy is taken, and the
    group goes where it is not."""
    problems = [cases.problem(number) for number in range(4)]
    spreads = [(0.0, 0.0), (1.0, 1.0, None), (0.0, 1.0), (0.3, 0.3 + 1e-12)]
    rows = [
        cases.scored(item, number, f"module m; wire w = {number}; endmodule", z)
        for item, spread in zip(problems, spreads, strict=True)
        for number, z in enumerate(spread)
    ]
    kept = build(rows, problems, tokenizer, replace(METHODS["itertl"], groups="mixed"))
    assert [len(group.responses) for group in kept.groups] == [1, 1, 3, 3]
    assert (kept.counts.groups_of_equal_z, kept.counts.candidates_of_equal_z, kept.counts.candidates) == (2, 4, 4)
    assert kept.counts.candidates_unscored == 1
    for name in ("dpo", "grpo", "raft"):
        found = build(rows, problems, tokenizer, replace(METHODS[name], groups="mixed"))
        assert [group.problem_id for group in found.groups] == [problems[2].id, problems[3].id], name
    none = build(rows[:5], problems[:2], tokenizer, replace(METHODS["dpo"], groups="mixed"))
    assert [len(group.responses) for group in none.groups] == [1, 1], "a round with nothing to learn ends all the same"
    assert [len(group.responses) for group in build(rows, problems, tokenizer).groups] == [3, 3, 3, 3]


def judged(of: Problem, index: int, code: str, verdict: Verdict, value: float | None, **more: Any) -> Scored:
    row = cases.scored(of, index, code, 1.0 if value is None else value, **more)
    by_function = Score(scorer="vectors", value=value, verdict=verdict)
    return row.model_copy(update={"scores": (*row.scores, by_function)})


def test_what_compiles_and_what_is_right_is_read_off_the_scores(tokenizer: Any) -> None:
    item = cases.problem(0)
    says = [
        (Verdict.PASSED, 1.0, True, True),
        (Verdict.WRONG_OUTPUT, 0.9, True, False),
        (Verdict.TIMEOUT, 0.0, True, False),
        (Verdict.ELABORATION_ERROR, 0.0, False, False),
        (Verdict.GAMED, 0.0, False, False),
        (Verdict.UNDECIDED, None, True, None),  # what is left is the paper's score, whose parser took it
    ]
    rows = [judged(item, n, f"module m{n}; endmodule", verdict, value) for n, (verdict, value, *_) in enumerate(says)]
    method = METHODS["itertl"]
    (group,) = build(rows, [item], tokenizer, replace(method, negatives="near")).groups
    assert [(r.compiles, r.is_right) for r in group.responses[:-1]] == [(c, right) for *_, c, right in says]
    assert (group.reference.compiles, group.reference.is_right) == (None, None)
    plain = build(rows, [item], tokenizer)
    assert {(r.compiles, r.is_right) for r in plain.groups[0].responses} == {(None, None)}, "not asked"
    content = group.problem_id, group.prompt_ids, [(r.token_ids, r.z, r.is_reference) for r in group.responses]
    assert plain.digest == sha256(repr(content).encode()).hexdigest(), "a training state of before the options is valid"
    assert GroupSet((group,), plain.counts).digest != plain.digest
    assert group.weight(replace(method, group_weight="difficulty")) == (1 / 5 * 4 / 5) ** 0.5
    assert group.weight(method) == 1.0
    falls = {name: group.may_fall(replace(method, negatives=name)) for name in ("all", "near", "beside-right", "none")}
    assert falls["near"] == [True, True, True, False, False, True, True]
    assert (set(falls["all"]), set(falls["beside-right"]), set(falls["none"])) == ({True}, {True}, {False})
    wrong = replace(group, responses=group.responses[1:])
    assert not any(wrong.may_fall(replace(method, negatives="beside-right")))
    assert wrong.weight(replace(method, group_weight="difficulty")) == 0.0


def test_verified_takes_one_of_each_right_design(tokenizer: Any) -> None:
    """At most two, those of the largest z, of equals the first; a copy in other names and layout is the same design."""
    first, second = cases.problem(0), cases.problem(1)
    same = "module m(input a, output y);\nwire t;\nassign t = a;\nassign y = t; // copy\nendmodule"
    renamed = "module m(input a, output y); wire temp; assign temp = a; assign y = temp; endmodule"
    codes = [
        ("module m(input a, output y);\nassign y = ~~a;\nendmodule", Verdict.PASSED, 1.0),
        (same, Verdict.PASSED, 1.0),
        (renamed, Verdict.PASSED, 1.0),
        ("module m(input a, output y);\nassign y = !a;\nendmodule", Verdict.WRONG_OUTPUT, 0.5),
        ("module m(input a, output y);\nassign y = a;\nendmodule", Verdict.PASSED, 1.0),
    ]
    rows = [judged(first, n, code, verdict, value) for n, (code, verdict, value) in enumerate(codes)]
    rows.append(judged(second, 0, codes[3][0], Verdict.WRONG_OUTPUT, 0.0))
    method = METHODS["verified"]
    one, other = build(rows, [first, second], tokenizer, method).groups
    assert one.ce_targets(method) == {0: 0.25, 1: 0.25, 5: 0.5}
    assert one.ce_targets(replace(method, max_verified=9)) == {0: 0.5 / 3, 1: 0.5 / 3, 4: 0.5 / 3, 5: 0.5}
    assert one.ce_targets(replace(method, max_verified=1, verified_share=1.0)) == {0: 1.0}
    assert other.ce_targets(method) == {1: 0.5} and other.needed(method) == (1,)
    alone = replace(method, verified_share=1.0)
    assert [g.problem_id for g in build(rows, [first, second], tokenizer, alone).groups] == [first.id]
    assert len(build(rows[5:], [second], tokenizer, alone).groups) == 1, "nothing is right: the round ends all the same"


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]), min_size=1, max_size=7),
    st.sampled_from([1e-6, 0.1, 0.5, 50.0]),
    st.sampled_from([0.1, 0.5, 1.0]),
    st.integers(0, 9),
)
def test_acceptance_is_that_of_the_papers_code(z: list[float], beta: float, share: float, seed: int) -> None:
    """Its loop written again, on a table of rewards that loses what is accepted, with the same chances."""
    method = replace(METHODS["rso"], accept_beta=beta, accept_share=share)
    left, accepted, number = dict(enumerate(z)), [], 0
    while len(accepted) < math.ceil(share * len(z)):
        max_reward, gone = max(left.values()), []
        for candidate, reward in left.items():
            u = derive_seed(seed, "accept", "p", number, candidate) / 2**63
            if u >= math.exp((reward - max_reward) / beta):
                continue
            accepted.append(candidate)
            gone.append(candidate)
            if len(accepted) == math.ceil(share * len(z)):
                break
        left, number = {k: v for k, v in left.items() if k not in gone}, number + 1
    assert accept(z, method, seed, "p") == sorted(accepted)
    if beta < 1e-3:
        assert sorted(z[k] for k in accepted) == sorted(z)[len(z) - len(accepted) :], "cold: the best are accepted"


def test_acceptance_follows_the_seed_and_is_counted(tokenizer: Any) -> None:
    made = cases.case(6)
    groups = {
        seed: build_groups(
            made.rows, made.problems, tokenizer, prompt=cases.PROMPT, score=cases.SCORE, train=TrainConfig(),
            method=METHODS["rso"], seed=seed,
        )
        for seed in (1, 1, 2, 3)
    }  # fmt: skip
    assert all((g.counts.candidates, g.counts.candidates_rejected) == (12, 6) for g in groups.values())
    assert len({g.digest for g in groups.values()}) > 1


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(30, 60))
def test_blocks_hold_each_text_once_and_are_full(sizes: list[int], room: int) -> None:
    """By best fit as the textbook says it: each item into the block with the least room that is enough."""
    plain: list[list[int]] = []
    for number, size in enumerate(sizes):
        rooms = [(room - sum(sizes[n] for n in block), at) for at, block in enumerate(plain)]
        fitting = min(((left, at) for left, at in rooms if left >= size), default=None)
        if fitting is None:
            plain.append([])
        plain[-1 if fitting is None else fitting[1]].append(number)
    found = fill(sizes, room)
    assert sorted(n for block in found for n in block) == list(range(len(sizes)))
    sums = [sorted(sum(sizes[n] for n in block) for block in blocks) for blocks in (found, plain)]
    assert sums[0] == sums[1]


def test_whole_texts_are_trained_on_to_their_last_token(tokenizer: Any) -> None:
    texts = ["module a; endmodule", "wire " * 40, "  ", "module b; endmodule"]
    problems = [cases.problem(n, text) for n, text in enumerate(texts)]
    found = build([], problems, tokenizer, METHODS["cpt"], max_length=32)
    pieces = [response.token_ids for group in found.groups for response in group.responses]
    assert all(1 + sum(len(r.token_ids) for r in group.responses) <= 32 for group in found.groups)
    assert all(group.prompt_ids == (tokenizer.bos_token_id or tokenizer.eos_token_id,) for group in found.groups)
    whole = {tokenizer.decode(ids[:-1]) for ids in pieces if ids[-1] == tokenizer.eos_token_id}
    assert {texts[0], texts[3]} <= whole and found.counts.problems_without_reference == 1
    expected = sum(len(tokenizer.encode(text)) + 1 for text in texts if text.strip())
    assert sum(map(len, pieces)) == sum(group.reference_tokens for group in found.groups) == expected
    assert found.num_pairs() == 0
