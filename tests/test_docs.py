"""The documentation holds together: links and anchors lead somewhere, and every command that it shows parses."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from itertl.cli import app
from itertl.config import Recipe, submodel
from itertl.evaluation.benchmarks import BENCHMARKS

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PLACEHOLDER = re.compile(r"^[A-Z][A-Z_]*$|^…$|NAME|MINE|FOLDER")
COMMAND = typer.main.get_command(app)


def _text_and_code(page: Path) -> tuple[str, list[str]]:
    """The page without its code blocks, and the blocks."""
    blocks: list[str] = []
    plain = re.sub(
        r"^( *)```.*?\n(.*?)^ *```",
        lambda m: blocks.append(m[2]) or "",
        page.read_text(encoding="utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )
    return plain, blocks


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _text_and_code(page)[0], re.MULTILINE)
    slugs = [
        re.sub(r"[\s]", "-", re.sub(r"[^\w\s-]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", h)).strip().lower())
        for h in headings
    ]
    return set(slugs)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", _text_and_code(page)[0]):
        path, _, anchor = target.partition("#")
        if re.match(r"\w+:", target):
            continue
        there = page if not path else (page.parent / path).resolve()
        is_there = there.exists() and (not anchor or there.suffix != ".md" or anchor in _anchors(there))
        broken += [] if is_there else [target]
    assert not broken


def _commands(page: Path) -> Iterator[str]:
    """Lines of code blocks, and inline code, that begin with itertl."""
    plain, blocks = _text_and_code(page)
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"^\s*(?:\$ |>>> )?(?:\.venv/bin/)?(itertl .*)$", line)
            if found:
                yield found[1]
    yield from re.findall(r"`(itertl [^`]+)`", plain)


def _key_is_known(key: str) -> bool:
    parts = re.sub(r"\[(\d+)\]", r".\1", key).split(".")
    model: Any = Recipe
    for part in parts:
        if part.isdigit():
            continue
        if model is None:
            return True  # inside a table of names and values
        known = {field.alias or name: name for name, field in model.model_fields.items()}
        if part not in known:
            return False
        model = _inner(model, known[part])
    return True


def _inner(model: Any, name: str) -> Any:
    found = submodel(model, name)
    if found is None and name == "evals":
        from itertl.config import EvalConfig

        return EvalConfig
    return found


def wrong_with(line: str) -> str:
    """What does not parse in a command line of the docs; "" where all of it does."""
    line = re.split(r"\s(?:#|\||>|&&|;|&)(?:\s|$)|\s{3,}", line)[0]
    line = re.sub(r"\[([^\]]*)\]", r"\1", line) if " [" in line else line  # optional parts
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return ""  # cut in the middle of a quotation
    command: Any = COMMAND
    rest = words[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            return "" if PLACEHOLDER.search(rest[0]) else f"no command {rest[0]!r}"
        command, rest = command.commands[rest[0]], rest[1:]
    options = {
        name for param in command.params for name in (*param.opts, *param.secondary_opts) if name.startswith("-")
    } | {"--help"}
    for number, word in enumerate(rest):
        name = word.partition("=")[0]
        if name.startswith("--") and name not in options:
            return f"no option {name}"
        if name == "--benchmark" and number + 1 < len(rest):
            given = rest[number + 1].partition("=")[0]
            if given not in BENCHMARKS and ":" not in given and not PLACEHOLDER.search(given) and given != "…":
                return f"no benchmark {given}"
        is_override = re.match(r"^[a-z]\w*(?:\.\w+|\[\d+\])+=", word) and rest[number - 1] not in (
            "--filter",
            "--column",
        )
        if is_override and "…" not in name and not PLACEHOLDER.search(name) and not _key_is_known(name):
            return f"no key {name}"
    return ""


@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if p.name not in ("experiments.md", "CHANGELOG.md")],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_commands_of_the_docs_parse(page: Path) -> None:
    wrong = {line: why for line in _commands(page) if (why := wrong_with(line))}
    assert not wrong


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("itertl run recipes/demo.yaml train.learning_rat=1", "no key train.learning_rat"),
        ("itertl run recipes/demo.yaml --outt x", "no option --outt"),
        ("itertl eval s.jsonl --benchmark verilogeval-v3", "no benchmark verilogeval-v3"),
        ("itertl data imprt x", "no command 'imprt'"),
        ("itertl run demo evals.0.limt=3", "no key evals.0.limt"),
        ("itertl run demo evals.0.limit=3 --plan   # what it would do", ""),
        ("itertl data import pairs.jsonl [--header derive] --out p.jsonl", ""),
    ],
)
def test_the_check_finds_what_is_wrong(line: str, why: str) -> None:
    assert wrong_with(line) == why
