"""How often a model writes passages of a corpus: found by hashes of windows, checked by comparing all of them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_line import itertl
from itertl.config import Recipe, build_recipe
from itertl.evaluation.memorised import Memorised, Question, _Windows, memorised
from itertl.model.policy import Policy
from itertl.problems.normalize import renamed_window_hashes
from itertl.problems.texts import CorpusText
from itertl.progress import QUIET
from itertl.runs import storage
from itertl.verilog.text import tokenize


def body(seed: int, names: str = "abcdefgh") -> str:
    """A design whose statements differ, over eight names."""
    signs = "+-^|&"
    lines = [
        f"  assign {names[(n * 3 + seed) % 8]} = {names[n % 8]} {signs[(n * n + seed) % 5]} {names[(n + seed) % 8]}[{n}];"
        for n in range(30)
    ]
    return f"module m{seed}(input x, output y);\n" + "\n".join(lines) + "\nendmodule\n"


def row(path: str, text: str, licence: str) -> CorpusText:
    return CorpusText(id=path, text=text, path=path, licence=licence, source="t", sha256="0")


def rest(text: str, tokens: int) -> str:
    return text[text.index("\n", tokenize(text)[tokens - 1].end) + 1 :]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    texts = [
        row("free.v", body(1), "MIT"), row("gpl.v", body(2), "GPL-2.0-only"), row("both.v", body(4), "GPL-2.0-only"),
        row("both-free.v", "wire z;\n" + body(4), "MIT"), row("own.v", body(3), "unknown"),
        row("short.v", "module s; endmodule\n", "MIT"),
    ]  # fmt: skip
    storage.write_records(tmp_path / "corpus.jsonl", texts)
    answers = {
        "free.v": rest(body(2), 40) + "nothing more",  # asked for a free file, writes the protected one
        "gpl.v": rest(body(2, "pqrstuvw"), 20),  # the same in other names
        "both.v": "Sure:\n" + rest(body(4), 20),  # stands in a free file too
        "both-free.v": "x",
        "own.v": "  assign a = b;\n" * 40,  # repeats itself
    }
    lines = [json.dumps({"task_id": path, "completion": text}) + "\n" for path, text in answers.items()]
    (tmp_path / "answers.jsonl").write_text("".join(lines))
    return tmp_path / "corpus.jsonl"


def recipe(corpus: Path) -> Recipe:
    return build_recipe({}, ["sample.backend=replay", f"sample.options.path={corpus.with_name('answers.jsonl')}"])


def test_passages_are_counted_by_licence(corpus: Path) -> None:
    out, policy = corpus.with_name("m.jsonl"), Policy("parrot", known_digest="0")
    question = Question(beginning=20, passage=40, instructions=False)
    found = memorised(recipe(corpus), policy, corpus, out, question=question, reporter=QUIET)
    rows = {one.path: one for one in storage.read_records(out, Memorised)}
    whole = len(tokenize(rest(body(2), 40)))
    assert rows["free.v"].exact == {"GPL-2.0-only": whole}
    assert rows["gpl.v"].exact == {} and rows["gpl.v"].renamed == {"GPL-2.0-only": len(tokenize(rest(body(2), 20)))}
    assert set(rows["both.v"].exact) == {"GPL-2.0-only", "MIT"} and rows["own.v"].renamed == {}
    assert rows["free.v"].found_in == {"GPL-2.0-only": "gpl.v"} and found["too_short"] == 1
    table = {one["licence"]: one for one in found["table"]}
    gpl, every = table["GPL-2.0-only"], table["any"]
    assert (gpl["prompts"], gpl["exact"]["answers"], gpl["renamed"]["answers"]) == (2, 1, 2)
    assert (gpl["exact"]["protected"], gpl["renamed"]["protected"]) == (0, 1)
    assert (every["prompts"], every["exact"]["answers"], every["exact"]["protected"]) == (5, 2, 1)
    assert (table["MIT"]["exact"]["answers"], table["unknown"]["renamed"]["answers"]) == (0, 0)
    assert gpl["exact"]["low"] == pytest.approx(1 - 0.975**0.5) and gpl["exact"]["rate"] == 0.5
    assert not list(corpus.parent.glob("m.*.jsonl*"))


def test_the_prompt_itself_is_no_passage(corpus: Path) -> None:
    text = body(1)
    (corpus.with_name("answers.jsonl")).write_text(json.dumps({"task_id": "a.v", "completion": text}) + "\n")
    storage.write_records(corpus, [row("a.v", text, "MIT")])
    question = Question(beginning=len(tokenize(text)) - 60, passage=50, instructions=False)
    memorised(
        recipe(corpus), Policy("p", known_digest="0"), corpus, corpus.with_name("m.jsonl"), question=question,
        reporter=QUIET,
    )  # fmt: skip
    (only,) = storage.read_records(corpus.with_name("m.jsonl"), Memorised)
    assert len(tokenize(text)) > only.exact["MIT"] >= 50  # what the answer has beyond its prompt


_TOKENS = st.lists(st.sampled_from(["a", "b", "c", "\\a", "wire", "=", ";", "4'd2"]), max_size=30)


@given(_TOKENS, _TOKENS, st.integers(1, 6))
def test_windows_are_equal_where_names_are_exchanged(first: list[str], second: list[str], size: int) -> None:
    def plain(tokens: list[str]) -> list[tuple[str, ...]]:
        windows = []
        for start in range(len(tokens) - size + 1):
            names: dict[str, str] = {}
            window = [t.removeprefix("\\") for t in tokens[start : start + size]]
            windows.append(tuple(names.setdefault(t, f"v{len(names)}") if t in "abc" else t for t in window))
        return windows

    streams = [tokenize(" ".join(tokens) + " ") for tokens in (first, second)]
    hashes = [renamed_window_hashes(stream, size).tolist() for stream in streams]
    for mine, one in zip(plain(first), hashes[0], strict=True):
        for theirs, other in zip(plain(second), hashes[1], strict=True):
            assert (mine == theirs) == (one == other)


@given(_TOKENS)
def test_little_but_repetition_does_not_count(tokens: list[str]) -> None:
    stream = tokenize(" ".join(tokens) + " ")
    found = _Windows.of(stream, 10)
    texts = [token.canonical for token in stream]
    varied = [len(set(texts[start : start + 10])) >= 2 for start in range(len(texts) - 9)]
    assert [bool(value) for value in found.exact] == [bool(value) for value in found.renamed] == varied


def test_the_command(corpus: Path) -> None:
    (corpus.parent / "model").mkdir()
    (corpus.parent / "model" / "config.json").write_text("{}")
    (corpus.parent / "model" / "model.safetensors").write_bytes(b"never loaded")
    words = ["audit", "memorised", "model", "--against", corpus, "sample.backend=replay"]
    words += ["sample.options.path=answers.jsonl", "--beginning", "20", "--json"]
    told = itertl(*words, cwd=corpus.parent, ITERTL_CACHE=str(corpus.parent / "cache"))
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert {one["asked"] for one in found["table"]} == {"beginning", "instruction"}
    assert sum(one["prompts"] for one in found["table"] if one["licence"] == "any") == 9  # two share a module
    told = itertl(*words, "--passage", "5000", cwd=corpus.parent, ITERTL_CACHE=str(corpus.parent / "cache"))
    assert told.returncode == 2 and "lower --beginning or --passage" in json.loads(told.stdout)["error"]
