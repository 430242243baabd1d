"""What an attack is, and the shorthand in which the modules beside this one write them.

Every attack is a whole design that no honest judge may pass: its function is wrong for its target, or it gets the
answer from the testbench in place of its inputs.
"""

from dataclasses import dataclass

from attacks.targets import ADDER, COUNTER, DETECTOR, MUX, TARGETS, Target


@dataclass(frozen=True, slots=True)
class Attack:
    """One hostile design. ``kind`` is its class in the count by classes, ``tries`` what it hopes for."""

    name: str
    kind: str
    target: str  # key of ``targets.PROBLEMS``
    text: str
    tries: str
    hangs: bool = False  # plain running does not end by itself, or costs far more than a simulation should


def whole(target: Target, name: str, tries: str, text: str, *, hangs: bool = False) -> Attack:
    """An attack given as its whole text."""
    return Attack(name, "", target.name, text, tries, hangs)


def inside(
    target: Target,
    name: str,
    tries: str,
    body: str,
    *,
    before: str = "",
    after: str = "",
    wrong: str | None = None,
    hangs: bool = False,
) -> Attack:
    """``body`` beside the target's wrong body (or ``wrong``), in the asked module; texts around the module."""
    text = f"{before}{target.header}{target.wrong if wrong is None else wrong}{body}\nendmodule\n{after}"
    return Attack(name, "", target.name, text, tries, hangs)


def mux(name: str, tries: str, body: str, **parts: object) -> Attack:
    return inside(MUX, name, tries, body, **parts)  # type: ignore[arg-type]


def counter(name: str, tries: str, body: str, **parts: object) -> Attack:
    return inside(COUNTER, name, tries, body, **parts)  # type: ignore[arg-type]


def detector(name: str, tries: str, body: str, **parts: object) -> Attack:
    return inside(DETECTOR, name, tries, body, **parts)  # type: ignore[arg-type]


def adder(name: str, tries: str, body: str, **parts: object) -> Attack:
    return inside(ADDER, name, tries, body, **parts)  # type: ignore[arg-type]


def of_kind(kind: str, *attacks: Attack) -> tuple[Attack, ...]:
    """The attacks with their class and its prefix in their names; targets must exist and names differ."""
    named = tuple(Attack(f"{kind}-{a.name}", kind, a.target, a.text, a.tries, a.hangs) for a in attacks)
    assert len({a.name for a in named}) == len(named), kind
    assert all(a.target in TARGETS for a in named), kind
    return named
