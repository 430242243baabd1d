"""What ``itertl eval`` prints without ``--json``: the same accounts as tables, for a terminal.

Details and names come from files that a model or a stranger wrote, so they are shown printable and are never markup.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from itertl.evaluation.compare import Comparison, Flip, PassDifference, Side
from itertl.evaluation.fingerprint import Fingerprint
from itertl.evaluation.self_test import MutantCounts, SelfTest
from itertl.evaluation.summary import verdict_table
from itertl.records import EvalSummary, SearchCost
from itertl.runs import wording

MOST = 10  # lines of a list; the JSON holds all


def show_account(account: Mapping[str, Any]) -> Group:
    """An account of ``files.account``: verdict table, refused designs by rule, what was unjudged and why."""
    overall = EvalSummary.model_validate(account["summary"])
    each = [EvalSummary.model_validate(one) for one in account["by_temperature"]]
    said = [
        f"judged by {overall.simulator or 'nothing'}, sandbox {overall.sandbox or 'not recorded'}, "
        f"rule {overall.rule}; benchmark {overall.benchmark}, hash {account['benchmark_hash']}"
    ]
    said += [
        _searched(one.search, one.temperature)
        for one in map(EvalSummary.model_validate, account.get("summaries", ()))
        if one.search is not None
    ]
    if overall.correct and (support := account.get("support")):
        kinds = ", ".join(f"{number} {name}" for name, number in support.items() if number)
        said.append(f"of {overall.correct} right: {kinds}")
    if overall.examples:
        said.append(f"shown before each question: {overall.examples}")
    if overall.gamed_by:
        said.append(f"refused as gaming the judge: {counts(overall.gamed_by)}")
    if best := account["best_of_temperatures"]:
        found = ", ".join(
            f"pass@{k} {wording.percent(b['value'])} at T {b['temperature']:g}" for k, b in best["pass_at_k"].items()
        )
        said.append(f"best of the temperatures: {found}; {best['protocol']}")
    parts: list[RenderableType] = [verdict_table(each if len(each) > 1 else [overall]), *map(_text, said)]
    if reasons := account["unjudged_problems"]:
        number = f"{_number(overall.unjudged, 'completion')} of {_number(len(reasons))}"
        parts += [_text(f"{number} could not be judged and enter no rate:"), _reason_table(reasons)]
    if missing := account["missing_problems"]:
        problems = _number(account["benchmark_problems"])
        parts.append(_text(f"no completion of {len(missing)} of {problems}: {_some(missing)}"))
    return Group(*parts)


def _searched(cost: SearchCost, temperature: float | None) -> str:
    """What the searches behind the answers looked at and took."""
    each = cost.completion_tokens / max(1, cost.answers)
    return (
        f"T {temperature or 0:g}, {wording.searched(cost)}: {cost.attempts} attempts for {cost.answers} "
        f"answers, {cost.completion_tokens} tokens written ({each:.0f} an answer), {cost.tool_calls} tool calls; "
        f"{cost.solved} searches ended with all of that right, {cost.solved_at_once} by their first draws"
    )


def _reason_table(reasons: Mapping[str, str], title: str = "") -> Table:
    """Problems and reasons; equal reasons of many problems still take a line each, up to ``MOST`` lines."""
    heading = Text(title) if title else None
    table = Table(title=heading, title_justify="left", box=None, padding=(0, 2), pad_edge=True, show_header=False)
    table.add_column("", no_wrap=True)
    table.add_column("", overflow="fold")
    for ident, reason in list(reasons.items())[:MOST]:
        table.add_row(_text(ident, 32), _text(reason, 300))
    if len(reasons) > MOST:
        table.add_row(f"… {len(reasons) - MOST} more", "(--json names all)")
    return table


def show_self_test(found: SelfTest, fingerprint: Fingerprint) -> Group:
    """Fingerprint, what judged, and the problems of each expectation that did not hold."""
    facts = Table(box=None, show_header=False, pad_edge=False)
    simulator = f"{fingerprint.version} at {fingerprint.program}, answers {fingerprint.hash}"
    refused = [name for name, answer in fingerprint.answers.items() if answer in ("refused", "failed")]
    for name, value in (
        ("benchmark", f"{found.benchmark}, hash {found.benchmark_hash}"),
        ("simulator", simulator),
        ("it refuses", ", ".join(refused) or "none of the probes"),
        ("judged by", found.simulator or "nothing"),
        ("sandbox", found.sandbox or "not recorded"),
        ("rule", found.rule),
        ("mutants", _mutants(found.mutants)),
    ):
        facts.add_row(name, _text(value, 600))
    good = found.checked - len(found.broken) - len(found.known)
    parts: list[RenderableType] = [facts, _text(f"{good} of {found.checked} references pass")]
    without = dict.fromkeys(found.without_reference, "no reference to check with")
    for title, reasons in (
        ("Reference fails, and no known erratum says why", found.broken),
        ("Reference fails, as is known", found.known),
        ("Testbench without teeth: passes what it should catch", found.toothless),
        ("Emptied design refused before it ran, so only mutants were tried", found.untried),
        ("Known to be unjudgeable, not tried", found.errata),
        ("Without reference", without),
    ):
        if reasons:
            parts += [Text(""), _reason_table(reasons, f"{title} ({len(reasons)})")]
    return Group(*parts)


def _mutants(of: Mapping[str, MutantCounts]) -> str:
    """How many were tried, and of which designs; a group's names where they fit."""
    tried, ran, caught = (sum(getattr(one, name) for one in of.values()) for name in ("tried", "ran", "caught"))
    if not tried:
        return "none tried"
    groups: dict[int, list[str]] = {}
    for ident, one in of.items():
        groups.setdefault(one.tried, []).append(ident)
    each: list[str] = []
    for count, some in sorted(groups.items(), reverse=True):
        how_many = f"{count} each" if count and len(some) > 1 else count or "none"
        each.append(f"{how_many} of {_number(len(some), 'design')} ({_some(some)})")
    return f"{tried} tried, {ran} ran, {caught} of them caught: {'; '.join(each)}"


def show_comparison(found: Comparison) -> Group:
    """Warnings first, then both sides, the differences with interval and p, and the problems that flipped."""
    parts: list[RenderableType] = [_text(f"warning: {warning}") for warning in found.warnings]
    parts += [_sides(found.a, found.b), _differences(found)]
    if found.mcnemar is not None:
        said = f"{_number(found.mcnemar.only_b)} passed by B alone, {found.mcnemar.only_a} by A alone"
        parts.append(_text(f"McNemar's exact test: {said}, p = {p_value(found.mcnemar.p_value)}"))
    for name in "BA":
        if flips := [_flip(flip) for flip in found.flips if (flip.difference > 0) == (name == "B")]:
            parts.append(_text(f"{name} does better on {_number(len(flips))}: {_some(flips, MOST)}"))
    return Group(*parts)


def _sides(a: Side, b: Side) -> Table:
    table = Table(title=Text("What is compared"))
    table.add_column("")
    for name in ("A", "B"):
        table.add_column(name, overflow="fold")
    for name, value in (
        ("file", lambda side: side.path),
        ("rule", lambda side: side.rule),
        ("search", lambda side: wording.by_search(side.strategy, side.feedback) if side.strategy else "none recorded"),
        ("simulator", lambda side: side.simulator),
        ("sandbox", lambda side: side.sandbox or "not recorded"),
        ("samples a problem", lambda side: ", ".join(map(str, side.samples))),
        ("completions", lambda side: str(side.total)),
        ("unjudged", lambda side: str(side.unjudged)),
        ("verdicts", lambda side: counts(side.by_verdict)),
        ("gamed", lambda side: counts(side.gamed_by) or "0"),
    ):
        table.add_row(name, _text(value(a), 300), _text(value(b), 300))
    return table


def _differences(found: Comparison) -> Table:
    table = Table(title=Text(f"{found.benchmark}, {found.problems} problems"))
    for name in ("", "A %", "B %", "B − A, 95% interval", "p"):
        table.add_column(name, justify="right" if name else "left")
    for row in found.differences:
        table.add_row(f"pass@{row.k}", *_difference_cells(row))
    return table


def _difference_cells(row: PassDifference) -> Sequence[str]:
    if row.a is None or row.b is None or row.difference is None or row.p_value is None:
        return ["–"] * 4
    span = f"{100 * row.difference:+.1f}"
    if row.low is not None and row.high is not None:
        span += f" [{100 * row.low:+.1f}, {100 * row.high:+.1f}]"
    how = "" if row.draws is None else f" ({row.draws:,} draws)"
    return [f"{100 * row.a:.1f}", f"{100 * row.b:.1f}", span, p_value(row.p_value) + how]


def p_value(value: float) -> str:
    """Three digits, and a bound instead of zeros: 0.0412 -> "0.041", 0.00123 -> "0.0012", 3e-9 -> "< 0.0001"."""
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}" if value < 0.01 else f"{value:.3f}"


def _flip(flip: Flip) -> str:
    (n_a, right_a), (n_b, right_b) = flip.a, flip.b
    return flip.task_id if n_a == n_b == 1 else f"{flip.task_id} ({right_a}/{n_a} → {right_b}/{n_b})"


def counts(numbers: Mapping[str, int]) -> str:
    """For example ``"passed 3, gamed 1"``."""
    return ", ".join(f"{name} {number}" for name, number in Counter(numbers).most_common())


def _text(content: str, length: int = 2000) -> Text:
    return Text(wording.one_line(content, length) if content.strip() else content)


def _number(number: int, what: str = "problem") -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" … and {len(names) - most} more" if len(names) > most else "")
