"""How responses lie in rows, that a packed response sees what it would see alone, and which models can be packed."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import create_mask
from transformers import AutoConfig, AutoModelForCausalLM

from itertl.model import attention
from itertl.training import layout
from itertl.training.collate import block_mask, collate, dense_mask, padding_mask, sees
from itertl.training.packing import Layout, Piece, missing, plan, plan_shares, row_length, share
from itertl.training.response_model import HEAD_CHUNK, ResponseModel, head_logprobs, response_logprobs

TOKENS = st.lists(st.integers(1, 90), min_size=1, max_size=12).map(tuple)
SMALL: dict[str, Any] = {
    "vocab_size": 120, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "head_dim": 8, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2,
}  # fmt: skip
LAYOUTS = st.builds(Layout, st.booleans(), st.integers(1, 60), st.integers(1, 120))


@st.composite
def pieces(draw: st.DrawFn, *, least: int = 1) -> list[Piece]:
    found = []
    for number in range(draw(st.integers(least, 7))):
        responses = draw(st.lists(TOKENS, min_size=1, max_size=4))
        slots = draw(st.lists(st.integers(0, 9), min_size=len(responses), max_size=len(responses), unique=True))
        found.append(Piece(number, draw(TOKENS), tuple(responses), tuple(sorted(slots))))
    return found


# --- planning


@settings(deadline=None)
@given(pieces(), LAYOUTS)
def test_every_response_is_computed_once_and_no_batch_is_too_large(given_pieces: list[Piece], chosen: Layout) -> None:
    work = plan(given_pieces, chosen)
    done = [
        (p.group, p.prompt_ids, s, r)
        for batch in (*work.whole, *work.split)
        for row in batch
        for p in row
        for s, r in zip(p.slots, p.responses, strict=True)
    ]
    assert sorted(done) == sorted(
        (p.group, p.prompt_ids, s, r) for p in given_pieces for s, r in zip(p.slots, p.responses, strict=True)
    )
    for batch in (*work.whole, *work.split):
        parts = [piece for row in batch for piece in row]
        is_least = len(parts) == 1 and len(parts[0].responses) == 1
        assert is_least or len(batch) * max(map(row_length, batch)) <= chosen.budget
        assert chosen.packed or all(len(row) == 1 and len(row[0].responses) == 1 for row in batch)


@settings(deadline=None)
@given(pieces(), LAYOUTS)
def test_a_group_done_in_one_pass_lies_in_one_batch(given_pieces: list[Piece], chosen: Layout) -> None:
    work = plan(given_pieces, chosen)
    whole = [{piece.group for row in batch for piece in row} for batch in work.whole]
    split = {piece.group for batch in work.split for row in batch for piece in row}
    assert sum(map(len, whole)) + len(split) == len(given_pieces)
    assert set().union(*whole).isdisjoint(split)


@settings(deadline=None)
@given(pieces(), st.integers(1, 200))
def test_rows_are_at_least_half_full(given_pieces: list[Piece], row_tokens: int) -> None:
    """First fit leaves at most one row of those that take several pieces half empty."""
    rows = [row for batch in plan(given_pieces, Layout(True, row_tokens, 10_000)).whole for row in batch]
    assert all(row_length(row) <= row_tokens or len(row) == 1 for row in rows)
    assert sum(row_length(row) <= row_tokens / 2 for row in rows) <= 1


@given(st.lists(st.integers(1, 50), max_size=20), st.integers(1, 6))
def test_processes_get_all_items_and_about_the_same(costs: list[int], processes: int) -> None:
    """Graham's bound for any order: the mean, and (1 - 1/m) of the largest item."""
    shares = share(costs, processes)
    assert sorted(item for items in shares for item in items) == list(range(len(costs)))
    loads = [sum(costs[item] for item in items) for items in shares]
    if costs:
        # the last item went to the least loaded, which then had at most the mean
        assert max(loads) <= sum(costs) / processes + max(costs) * (1 - 1 / processes) + 1e-9


@settings(deadline=None)
@given(pieces(), LAYOUTS, st.integers(1, 4))
def test_processes_make_equally_many_passes(given_pieces: list[Piece], chosen: Layout, processes: int) -> None:
    works = plan_shares(given_pieces, chosen, processes)
    done = [p.group for w in works for b in (*w.whole, *w.split) for row in b for p in row for _ in p.slots]
    assert sorted(done) == sorted(p.group for p in given_pieces for _ in p.slots)
    for kind in ("whole", "split"):
        longest = max((getattr(work, kind) for work in works), key=len)
        counts = {len(getattr(work, kind)) + len(missing(getattr(work, kind), longest)) for work in works}
        assert counts == {len(longest)}


# --- masks


def naive_sees(piece_q: tuple[int, int], piece_k: tuple[int, int], q: int, k: int) -> bool:
    """By words: the same piece, not later, and of the prompt (0) or the same response."""
    return k <= q and piece_q[0] == piece_k[0] and piece_k[1] in (0, piece_q[1])


@settings(deadline=None, max_examples=40)
@given(pieces())
def test_mask_lets_a_response_see_its_prompt_and_itself(given_pieces: list[Piece]) -> None:
    batch = collate((tuple(given_pieces), (given_pieces[0],)))
    mask = dense_mask(batch)[0, 0]
    owner = [(n, 0) for n, p in enumerate(given_pieces) for _ in range(0)]
    for number, piece in enumerate(given_pieces):
        owner += [(number, 0)] * len(piece.prompt_ids)
        for which, response in enumerate(piece.responses, 1):
            owner += [(number, which)] * len(response)
    for q in range(len(owner)):
        assert mask[q].tolist() == [naive_sees(owner[q], owner[k], q, k) for k in range(len(owner))]
    assert dense_mask(batch).any(-1).all(), "a position that sees nothing gives NaN"
    assert batch.tokens == sum(map(len, given_pieces)) + len(given_pieces[0])


def test_block_mask_is_the_dense_one() -> None:
    rows = (
        (Piece(0, (1, 2), ((3,), (4, 5)), (0, 1)), Piece(1, (6,), ((7, 8),), (0,))),
        (Piece(2, (1,), ((2,),), (0,)),),
    )
    batch = collate(rows)
    blocks = block_mask(batch)
    length = batch.ids_B_L.shape[1]
    assert torch.equal(create_mask(blocks.mask_mod, 2, 1, length, length, device="cpu"), dense_mask(batch))


def test_positions_restart_after_the_prompt_and_picks_predict_the_response() -> None:
    """[10 11 | 20 21 | 30] then [12 | 40]: 20 and 30 are both at position 2, both predicted from 11 (column 1)."""
    batch = collate(((Piece(0, (10, 11), ((20, 21), (30,)), (0, 2)), Piece(5, (12,), ((40,),), (1,))),))
    assert batch.positions_B_L.tolist() == [[0, 1, 2, 3, 2, 0, 1]]
    assert batch.picks_N.tolist() == [1, 2, 1, 5]
    assert batch.targets_N.tolist() == [20, 21, 30, 40]
    assert batch.slots == ((0, 0), (0, 2), (5, 1)) and batch.lengths == (2, 1, 1)
    parts = response_logprobs(lambda _: torch.tensor([1.0, 2.0, 3.0, 4.0]), batch, "cpu")
    assert [parts[slot].tolist() for slot in batch.slots] == [[1, 2], [3], [4]]
    with pytest.raises(ValueError, match="at least one token"):
        collate(((Piece(0, (), ((1,),), (0,)),),))


def test_padding_mask_marks_tokens() -> None:
    batch = collate(((Piece(0, (1, 2), ((3,),), (0,)),), (Piece(1, (1,), ((3,),), (0,)),)))
    assert padding_mask(batch).tolist() == [[1, 1, 1], [1, 1, 0]]
    assert not sees(torch.tensor(-1), torch.tensor(0), torch.tensor(0), torch.tensor(0), torch.tensor(True))


# --- the head


@pytest.mark.parametrize("count", [0, 1, HEAD_CHUNK, HEAD_CHUNK + 3, 3 * HEAD_CHUNK])
@pytest.mark.parametrize("with_bias", [True, False])
def test_chunked_head_is_the_whole_one(count: int, with_bias: bool) -> None:
    """Values and gradients of hidden states, weight and bias against log_softmax of all logits."""
    generator = torch.Generator().manual_seed(count)
    hidden, weight, bias = (
        torch.randn(*shape, generator=generator).requires_grad_() for shape in ((count, 8), (50, 8), (50,))
    )
    targets = torch.randint(50, (count,), generator=generator)
    slope = torch.randn(count, generator=generator)
    used = [hidden, weight, *([bias] if with_bias else [])]
    found = head_logprobs(hidden, weight, bias if with_bias else None, targets)
    wanted = torch.log_softmax(torch.nn.functional.linear(hidden, weight, bias if with_bias else None), -1)
    wanted = wanted[torch.arange(count), targets]
    torch.testing.assert_close(found, wanted)
    if count:
        for a, b in zip(
            torch.autograd.grad((found * slope).sum(), used),
            torch.autograd.grad((wanted * slope).sum(), used),
            strict=True,
        ):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


# --- attention part by part


@pytest.mark.parametrize("heads", [2, 4], ids=["fewer keys", "as many keys"])
@pytest.mark.parametrize("checkpointed", [False, True])
def test_attention_by_parts_is_the_masked_one(heads: int, checkpointed: bool) -> None:
    """Values and gradients over rows of several pieces and different lengths, against SDPA with the dense mask."""
    attention.register(attention.NAME, attention.attend)
    config = AutoConfig.for_model("llama", **{**SMALL, "num_key_value_heads": heads})
    torch.manual_seed(1)
    policy = ResponseModel(AutoModelForCausalLM.from_config(config))
    if checkpointed:
        policy.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    rows = (
        (Piece(0, (40, 50, 60), ((70, 80), (90,), (91, 92, 93)), (0, 1, 2)), Piece(1, (30, 31), ((61, 3),), (0,))),
        (Piece(2, tuple(range(20, 29)), ((5,), (6, 7)), (0, 1)),),
    )
    found = []
    for name in ("sdpa", attention.NAME):
        policy.model.set_attn_implementation(name)
        policy.train().zero_grad()
        logp = policy(collate(rows))
        (logp * torch.linspace(-1, 1, len(logp))).sum().backward()
        found.append((logp.detach(), torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None])))
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-4, atol=1e-5)
    assert "attn" not in policy.model.config.to_json_string(), (
        "a saved checkpoint must not name what only training knows"
    )


# --- families of models

FAMILIES: dict[str, tuple[dict[str, Any], tuple[bool, bool]]] = {
    "llama": ({}, (True, True)),
    "qwen2": ({}, (True, True)),
    "qwen3": ({}, (True, True)),
    "mistral": ({"sliding_window": 4096}, (True, True)),
    "phi3": ({}, (True, True)),
    "starcoder2": ({}, (True, True)),
    "olmo2": ({}, (True, True)),
    "stablelm": ({}, (True, True)),
    "gpt_neox": ({}, (True, True)),
    "mixtral": ({"num_local_experts": 2}, (True, True)),
    "gpt2": ({"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}, (True, True)),
    "granite": ({"logits_scaling": 8.0}, (True, False)),  # the head's output is divided: its own forward is needed
    "cohere": ({"logit_scale": 0.1}, (True, False)),
    "gemma2": ({"final_logit_softcapping": 2.0, "sliding_window": 4096}, (True, False)),
    "mamba": ({"state_size": 4}, (False, True)),  # no attention: a row is one sequence
    "bloom": ({"n_layer": 2, "n_head": 4}, (False, True)),  # takes no positions
}


def family(name: str) -> Any:
    settings_ = {**SMALL, **FAMILIES[name][0]}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **settings_)).eval()
    with torch.no_grad():  # away from the almost uniform output of a fresh model, which hides what it sees
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape)
    return model


@pytest.mark.parametrize("name", FAMILIES)
def test_way_taken_gives_the_plain_log_probabilities(name: str) -> None:
    """On other rows than those that chose it; which way it is, by what is known of the family."""
    model = family(name)
    policy = ResponseModel(model).eval()
    choice = layout.choose(policy, longest=100)
    assert (choice.packed, choice.hidden) == FAMILIES[name][1], choice.why
    assert bool(choice.why) == (FAMILIES[name][1] != (True, True))
    made = [
        Piece(0, (40, 50, 60), ((70, 80), (90, 91, 92, 93), (70,)), (0, 1, 2)),
        Piece(1, tuple(range(30, 60)), ((61, 3),), (0,)),
    ]
    rows = (tuple(made),) if choice.packed else tuple((part,) for piece in made for part in piece.alone())
    found = response_logprobs(policy, collate(rows), "cpu")
    for piece in made:
        for slot, response in zip(piece.slots, piece.responses, strict=True):
            ids = torch.tensor([piece.prompt_ids + response])
            logp = torch.log_softmax(model(input_ids=ids).logits.float(), -1)[0]
            wanted = torch.stack([logp[i - 1, ids[0, i]] for i in range(len(piece.prompt_ids), ids.shape[1])])
            torch.testing.assert_close(found[piece.group, slot], wanted, rtol=1e-3, atol=1e-3)


def test_short_windows_and_the_recipe_rule_packing_out() -> None:
    SHORT = {**SMALL, "sliding_window": 50}
    policy = ResponseModel(AutoModelForCausalLM.from_config(AutoConfig.for_model("mistral", **SHORT)))
    choice = layout.choose(policy, longest=51)
    assert not choice.packed and "attention windows of 50 tokens, sequences of up to 51" in choice.why
    assert layout.choose(policy, longest=50).packed
    assert not layout.choose(ResponseModel(family("llama")), longest=50, allow_packing=False).packed


class _Leaky(ResponseModel):
    """A model whose attention ignores the mask of packed rows."""

    def forward(self, batch: Any) -> torch.Tensor:
        if not self.packed:
            return super().forward(batch)
        logits = self.model(input_ids=batch.ids_B_L).logits.flatten(0, 1)
        return torch.log_softmax(logits.float(), -1)[batch.picks_N, batch.targets_N]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_that_ignores_the_mask_is_not_packed(dtype: torch.dtype) -> None:
    policy = _Leaky(family("llama").to(dtype))
    choice = layout.choose(policy, longest=100)
    assert not choice.packed and not policy.packed
    assert "differ" in choice.why


def test_few_digits_do_not_rule_packing_out() -> None:
    assert layout.choose(ResponseModel(family("llama").to(torch.bfloat16)), longest=100).packed
