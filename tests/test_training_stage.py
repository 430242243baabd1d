"""The whole stage on a tiny model: it learns, resumes in the same bytes, merges adapters, stops when it diverges."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import training_cases as cases
from itertl.errors import DataError, RecipeError, ToolMissing, TrainingDiverged
from itertl.loop.plan import Shape, activation_bytes
from itertl.model.load import load_model, load_tokenizer
from itertl.progress import Tracker
from itertl.records import TrainStep
from itertl.runs import storage
from itertl.training.round import TrainResult


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    return cases.tiny(tmp_path_factory.mktemp("models"))


def rows_of(folder: Path) -> list[TrainStep]:
    return storage.read_records(folder / "train.jsonl", TrainStep)


def test_plain_fine_tuning_learns_four_references(policy: tuple[Path, Any], tmp_path: Path) -> None:
    problems = [cases.problem(i) for i in range(4)]
    result = cases.run_stage(tmp_path, policy[0], problems, [], "sft", epochs=60, groups_per_step=4, learning_rate=1e-2)
    rows = rows_of(tmp_path)
    assert result.steps == len(rows) == 60
    assert rows[0].loss > 5.0 > 0.1 > rows[-1].loss
    model, tokenizer = load_model(tmp_path / "checkpoint", device="cpu"), load_tokenizer(tmp_path / "checkpoint")
    prompt = torch.tensor([tokenizer.encode("Module 3.\n")])
    out = model.generate(prompt, do_sample=False, max_new_tokens=80, attention_mask=torch.ones_like(prompt))
    assert tokenizer.decode(out[0, prompt.shape[1] :], skip_special_tokens=True) == problems[3].reference
    assert (result.share_active_pairs, result.kl_old_new, result.candidate_tokens) == (None, None, 0)


def test_ranking_separates_bad_candidates_from_the_reference(policy: tuple[Path, Any], tmp_path: Path) -> None:
    made = cases.case(3, policy[1])
    result = cases.run_stage(
        tmp_path, policy[0], made.problems, made.rows, epochs=15, learning_rate=5e-3, options={"kl_problems": 3}
    )
    first, last = rows_of(tmp_path)[0], rows_of(tmp_path)[-1]
    assert last.loss_ranking < first.loss_ranking or last.pairs_hinged < first.pairs_hinged
    assert result.loss is not None and result.loss < first.loss
    assert result.kl_old_new is not None and result.kl_old_new != 0
    assert result.mean_logp_old is not None and result.mean_logp_new is not None
    # group 0: z 0.2, 0.95, 0.5, 1 has 5 active pairs; group 1 none; group 2: z 0.1, 0.1, 1, 1 has 4; of 18
    assert result.share_active_pairs == pytest.approx(9 / 18)
    assert sum(row.pairs for row in rows_of(tmp_path)) == 15 * 18


def test_log_and_result_add_up(policy: tuple[Path, Any], tmp_path: Path) -> None:
    made = cases.case(5)
    result = cases.run_stage(tmp_path, policy[0], made.problems, made.rows, epochs=2, groups_per_step=2)
    rows = rows_of(tmp_path)
    assert [row.groups for row in rows] == [2, 2, 1, 2, 2, 1]
    assert [row.epoch for row in rows] == pytest.approx([0.4, 0.8, 1, 1.4, 1.8, 2])
    assert result.loss == pytest.approx(sum(r.loss * r.groups for r in rows[3:]) / 5)
    assert result.tokens == sum(r.tokens for r in rows)
    assert result.tokens > result.reference_tokens + result.candidate_tokens
    for row in rows:
        assert row.lam > 0 and row.pairs >= row.pairs_active >= row.pairs_hinged
    assert TrainResult(**json.loads(json.dumps(dataclasses.asdict(result)))) == result
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint", "train.jsonl"]
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        p.name for p in (tmp_path / "checkpoint").iterdir()
    }


def test_over_long_responses_are_counted_and_said(policy: tuple[Path, Any], tmp_path: Path) -> None:
    good, long = cases.problem(0), cases.problem(1, "module m; " + "wire w; " * 40 + "endmodule")
    said: list[str] = []
    rows = [cases.scored(good, 0, "module a; " + "wire w; " * 40, 0.5)]
    result = cases.run_stage(
        tmp_path,
        policy[0],
        [good, long],
        rows,
        epochs=1,
        max_length=120,
        options={"say": lambda text: said.append(str(text))},
    )
    assert (result.dropped_too_long, result.references_too_long, result.groups) == (1, 1, 1)
    assert any("1 references too long" in text and "1 candidates too long" in text for text in said)
    with pytest.raises(DataError, match="no problem can be trained on"):
        cases.run_stage(tmp_path / "none", policy[0], [long], [], epochs=1, max_length=120)


def test_no_epochs_keep_the_policy(policy: tuple[Path, Any], tmp_path: Path) -> None:
    made = cases.case(2, policy[1])
    result = cases.run_stage(tmp_path, policy[0], made.problems, made.rows, epochs=0)
    assert (result.steps, result.loss, result.kl_old_new) == (0, None, 0.0)
    before, after = (load_model(p, device="cpu").state_dict() for p in (policy[0], tmp_path / "checkpoint"))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_saved_weights_have_the_dtype_asked_for(policy: tuple[Path, Any], tmp_path: Path) -> None:
    made = cases.case(1)
    cases.run_stage(
        tmp_path, policy[0], made.problems, made.rows, epochs=1, precision="bf16", options={"dtype": "bfloat16"}
    )
    weights = load_model(tmp_path / "checkpoint", dtype="bfloat16", device="cpu").state_dict()
    assert {value.dtype for value in weights.values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "checkpoint/config.json").read_text())["dtype"] == "bfloat16"


def test_adapters_train_and_are_merged(policy: tuple[Path, Any], tmp_path: Path) -> None:
    made = cases.case(2)
    cases.run_stage(
        tmp_path, policy[0], made.problems, made.rows, epochs=30, learning_rate=1e-2, lora={"rank": 4, "dropout": 0.1}
    )
    rows = rows_of(tmp_path)
    assert rows[-1].loss < rows[0].loss
    before, after = (load_model(p, device="cpu").state_dict() for p in (policy[0], tmp_path / "checkpoint"))
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all("proj" in name for name in changed)
    with pytest.raises(RecipeError, match="target_modules"):
        cases.run_stage(tmp_path / "bad", policy[0], made.problems, made.rows, lora={"target_modules": ["nothing"]})


def test_adapters_over_weights_in_four_bits(policy: tuple[Path, Any], tmp_path: Path) -> None:
    """They train, and are merged into the weights in all their digits."""
    pytest.importorskip("bitsandbytes")
    made = cases.case(2)
    lora = {"rank": 4, "quantize": "nf4"}
    cases.run_stage(tmp_path, policy[0], made.problems, made.rows, epochs=30, learning_rate=1e-2, lora=lora)
    rows = rows_of(tmp_path)
    assert rows[-1].loss < 0.9 * rows[0].loss
    before, after = (load_model(p, device="cpu").state_dict() for p in (policy[0], tmp_path / "checkpoint"))
    assert before.keys() == after.keys()
    moved = {
        name: torch.linalg.matrix_rank(after[name] - before[name], atol=1e-4).item()
        for name in before
        if "proj" in name
    }
    assert set(moved.values()) == {4}  # nothing but adapters of that rank: no trace of the 4 bits
    assert all(torch.equal(before[name], after[name]) for name in before if name not in moved)


def test_four_bits_without_their_library(policy: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolMissing, match=r"pip install 'itertl\[qlora\]'"):
        load_model(policy[0], device="cpu", quantize="nf4")


def test_gradient_checkpointing_and_micro_batches_end_in_the_same_policy(
    policy: tuple[Path, Any], tmp_path: Path
) -> None:
    made = cases.case(4)
    cases.run_stage(tmp_path / "a", policy[0], made.problems, made.rows, groups_per_step=4)
    cases.run_stage(tmp_path / "b", policy[0], made.problems, made.rows, groups_per_step=4, gradient_checkpointing=True)
    cases.run_stage(tmp_path / "c", policy[0], made.problems, made.rows, groups_per_step=4, micro_batch_tokens=150)
    plain, *others = ([row.loss for row in rows_of(tmp_path / name)] for name in "abc")
    for other in others:
        assert other == pytest.approx(plain, rel=1e-4)


def test_divergence_stops_and_keeps_the_last_good_weights(policy: tuple[Path, Any], tmp_path: Path) -> None:
    made = cases.case(4)
    with pytest.raises(TrainingDiverged, match=r"step [2-9]\d*: the (loss|gradient) is not finite") as caught:
        cases.run_stage(
            tmp_path,
            policy[0],
            made.problems,
            made.rows,
            epochs=6,
            learning_rate=1e30,
            max_grad_norm=None,
            weight_decay=0.0,
        )
    assert any(p.id in str(caught.value) for p in made.problems)
    assert not (tmp_path / "checkpoint").exists()
    progress = json.loads((tmp_path / "train-state/progress.json").read_text())
    assert progress["step"] == len((tmp_path / "train.jsonl.partial").read_text().splitlines()) >= 1
    assert f"step {progress['step'] + 1}:" in str(caught.value)
    with pytest.raises(TrainingDiverged) as again:  # resumes before the bad step and meets it again
        cases.run_stage(
            tmp_path,
            policy[0],
            made.problems,
            made.rows,
            epochs=6,
            learning_rate=1e30,
            max_grad_norm=None,
            weight_decay=0.0,
        )
    assert str(again.value) == str(caught.value)


def test_ids_of_another_tokenizer_are_refused(policy: tuple[Path, Any], tmp_path: Path) -> None:
    item = cases.problem(0)
    with pytest.raises(DataError, match="vocabulary"):
        cases.run_stage(
            tmp_path, policy[0], [item], [cases.scored(item, 0, "module a; endmodule", 0.1, token_ids=(99999,))]
        )


class Impatient(Tracker):
    """Presses Ctrl-C after so many groups."""

    def __init__(self, groups: int) -> None:
        self.left = groups

    def __enter__(self) -> "Impatient":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.left -= amount
        if self.left <= 0:
            raise KeyboardInterrupt


SCRIPT = """
import dataclasses, json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import training_cases as cases
from itertl.training import trainer# imported once, before the forks: what takes the time
import peft, transformers.models.llama.modeling_llama

def one(folder, cache, kill_at, settings):
    os.environ["ITERTL_KILL_AT"] = kill_at
    model, tokenizer = cases.tiny(cache)
    made = cases.case(4, tokenizer)
    result = cases.run_stage(folder, model, made.problems, made.rows, epochs=2, groups_per_step=2, **settings)
    (folder.parent / f"{folder.name}.json").write_text(json.dumps(dataclasses.asdict(result)))

for folder, kill_at, settings in json.loads(sys.argv[3]):
    child = os.fork()
    if child == 0:
        try:
            one(Path(folder), Path(sys.argv[2]), kill_at, settings)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([status, (Path(folder) / "checkpoint").exists()]))
"""


def run_apart(cache: Path, runs: list[tuple[str, str, dict[str, Any]]]) -> list[tuple[int, bool]]:
    """Each run in a process of its own, perhaps killed at a named point: its exit status, and if a checkpoint is
    there."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(cache), json.dumps(runs)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines() if line.startswith("[")]


def fingerprint(folder: Path) -> tuple[str, str, str]:
    assert sorted(p.name for p in folder.iterdir()) == ["checkpoint", "train.jsonl"]
    result = folder.with_name(folder.name + ".json").read_text()
    return storage.hash_file(folder / "checkpoint"), storage.hash_file(folder / "train.jsonl"), result


LORA = {"lora": {"rank": 4, "dropout": 0.2}, "precision": "bf16", "save_every_steps": 1}
KILLS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "full": ({"save_every_steps": 1}, ("train.save:1", "train.step:2", "train.save:2", "train.finish:1")),
    "adapters": (LORA, ("train.step:2", "train.save:2")),
    "rare-saves": ({"save_every_steps": 2}, ("train.step:3",)),
}
# Every moment of a save: the second of the state, while the first still lies there; and the checkpoint's.
IN_A_SAVE = (
    "train.save.staged:2", "train.save.weights:2", "train.save:2", "commit.train-state.synced:2",
    "commit.train-state.moved:1", "commit.train-state.renamed:2", "commit.train-state.durable:2",
    "train.finish.staged:1", "train.finish:1", "commit.checkpoint.synced:1", "commit.checkpoint.renamed:1",
    "commit.checkpoint.durable:1",
)  # fmt: skip


@pytest.mark.parametrize("name", ["full", *(pytest.param(n, marks=pytest.mark.slow) for n in KILLS if n != "full")])
def test_killed_anywhere_it_ends_in_the_same_bytes(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    """Four steps each; every killed run is started again until one ends, and is compared with an undisturbed one."""
    options, kills = KILLS[name]
    runs = [(str(tmp_path / "calm"), "", options), *((str(tmp_path / "cut"), kill, options) for kill in (*kills, ""))]
    ended = run_apart(tmp_path_factory.mktemp("cache"), runs)
    assert ended == [((-signal.SIGKILL, False) if kill else (0, True)) for _, kill, _ in runs]
    assert fingerprint(tmp_path / "calm") == fingerprint(tmp_path / "cut")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_kill_inside_a_save_costs_no_more_than_the_steps_since(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """12 kills inside a save, 12 runs that go on and end in the bytes of an undisturbed one; none begins from
    nothing."""
    settings = {"save_every_steps": 1}
    runs: list[tuple[str, str, dict[str, Any]]] = [(str(tmp_path / "calm"), "", settings)]
    for number, kill in enumerate(IN_A_SAVE):
        runs += [
            (str(tmp_path / f"cut-{number}"), kill, settings),
            (str(tmp_path / f"cut-{number}"), "train.step:4", settings),
        ]
        runs += [(str(tmp_path / f"cut-{number}"), "", settings)]
    ended = run_apart(tmp_path_factory.mktemp("cache"), runs)
    assert ended[0] == (0, True)
    for number, kill in enumerate(IN_A_SAVE):
        first, second, last = ended[1 + 3 * number : 4 + 3 * number]
        is_durable = kill.startswith(("commit.checkpoint.renamed", "commit.checkpoint.durable"))
        assert first == (-signal.SIGKILL, is_durable), kill
        assert second[0] == 0, f"{kill}: four steps were made again, so the state was lost"
        assert last[0] == 0
        assert fingerprint(tmp_path / "calm") == fingerprint(tmp_path / f"cut-{number}"), kill


def test_interrupted_by_the_user_it_saves_and_goes_on(policy: tuple[Path, Any], tmp_path: Path) -> None:
    made = cases.case(4, policy[1])
    calm = cases.run_stage(tmp_path / "calm", policy[0], made.problems, made.rows)
    for groups in (3, 3):
        with pytest.raises(KeyboardInterrupt):
            cases.run_stage(
                tmp_path / "cut",
                policy[0],
                made.problems,
                made.rows,
                options={"stage": lambda total, done, n=groups: Impatient(n)},
            )
        assert (tmp_path / "cut/train-state/progress.json").exists()
    assert json.loads((tmp_path / "cut/train-state/progress.json").read_text())["step"] == 2
    assert cases.run_stage(tmp_path / "cut", policy[0], made.problems, made.rows) == calm
    for name in ("checkpoint", "train.jsonl"):
        assert storage.hash_file(tmp_path / "cut" / name) == storage.hash_file(tmp_path / "calm" / name)


def test_state_of_other_inputs_is_discarded(policy: tuple[Path, Any], tmp_path: Path) -> None:
    made = cases.case(4)
    stop = {"stage": lambda total, done: Impatient(3)}
    with pytest.raises(KeyboardInterrupt):
        cases.run_stage(tmp_path / "cut", policy[0], made.problems, made.rows, options=stop)
    fresh = cases.run_stage(tmp_path / "fresh", policy[0], made.problems, made.rows, learning_rate=2e-3)
    assert cases.run_stage(tmp_path / "cut", policy[0], made.problems, made.rows, learning_rate=2e-3) == fresh
    assert storage.hash_file(tmp_path / "cut/checkpoint") == storage.hash_file(tmp_path / "fresh/checkpoint")


def test_weights_torn_by_an_interrupt_are_not_saved(
    policy: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cases.case(4)

    def torn(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.optim.AdamW, "step", torn)
    with pytest.raises(KeyboardInterrupt):
        cases.run_stage(tmp_path, policy[0], made.problems, made.rows)
    assert not (tmp_path / "train-state").exists()


def test_fp16_without_a_gpu_is_refused(
    policy: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    made = cases.case(1)
    with pytest.raises(RecipeError, match=r"train\.precision"):
        cases.run_stage(tmp_path, policy[0], made.problems, made.rows, precision="fp16")


@pytest.mark.parametrize(("lora", "autocast"), [(True, False), (True, True), (False, True), (False, False)])
def test_the_plan_counts_the_activations_that_autograd_keeps(lora: bool, autocast: bool) -> None:
    """Distinct storages that the backward pass of two layers holds, parameters left out, within a tenth."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, Qwen2Config

    tokens, hidden, inner, layers = 64, 128, 704, 2
    config = Qwen2Config(
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=1, vocab_size=100,
    )  # fmt: skip
    whole = AutoModelForCausalLM.from_config(config).train()
    model = whole.get_decoder()
    if lora:
        get_peft_model(whole, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tokens in tensor.shape and tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t), torch.autocast("cpu", enabled=autocast):
        model(input_ids=torch.zeros(1, tokens, dtype=torch.long), use_cache=False)
    found = sum(t.untyped_storage().nbytes() for t in kept.values()) / tokens
    shape = Shape(0, hidden, inner, layers, 100)
    said = activation_bytes(shape, width=2 if autocast else 4, lora=lora, checkpointing=False)
    assert found == pytest.approx(said, rel=0.2), (found, said)
