"""Rules of small worlds, told in prose, that become logic."""

import random
from collections.abc import Sequence

from itertl.synth.families.combinational import Draft, family, inp, out
from itertl.synth.families.wording import join

# (place, inputs: name -> when it is 1, outputs: name -> what it does)
_WORLDS: tuple[tuple[str, dict[str, str], dict[str, str]], ...] = (
    (
        "the lighting of a stairwell",
        {
            "night": "it is dark",
            "motion": "someone moves",
            "switch_on": "the wall switch is on",
            "guard": "the guard is in",
        },
        {"lamp": "the lamp burns", "buzzer": "the buzzer sounds"},
    ),
    (
        "a greenhouse",
        {"dry": "the soil is dry", "hot": "the air is hot", "rain": "it rains", "auto_mode": "the automatic is on"},
        {"sprinkler": "the sprinkler runs", "window": "the window is open"},
    ),
    (
        "a goods lift",
        {
            "door_shut": "the door is shut",
            "overload": "the load is too heavy",
            "call": "a call waits",
            "fire": "fire is reported",
        },
        {"motor_on": "the motor runs", "bell": "the bell rings"},
    ),
    (
        "a car's cabin",
        {
            "key_in": "the key is in",
            "belt": "the belt is fastened",
            "door_open": "a door is open",
            "lights": "the lights are on",
        },
        {"chime": "the chime sounds", "lamp": "the cabin lamp burns"},
    ),
    (
        "a fish tank",
        {
            "cold": "the water is cold",
            "low_water": "the water is low",
            "day": "it is day",
            "feeding": "it is feeding time",
        },
        {"heater": "the heater works", "pump": "the pump works"},
    ),
    (
        "a ticket gate",
        {
            "card_ok": "the card is valid",
            "blocked": "the way is blocked",
            "staff": "staff unlocks it",
            "alarm": "an alarm is on",
        },
        {"gate_open": "the gate opens", "red_light": "the red light shows"},
    ),
    (
        "a server room",
        {
            "mains": "mains power is there",
            "hot": "the room is hot",
            "smoke": "smoke is found",
            "manual": "manual control is on",
        },
        {"fan": "the fan turns", "generator": "the generator runs"},
    ),
)


def _clause(rng: random.Random, names: Sequence[str], meaning: dict[str, str]) -> tuple[str, str, str]:
    """Conditions joined by and/or: expression, the words with names, the words with meanings."""
    chosen = rng.sample(list(names), rng.choice((1, 2, 2, 3)))
    glue = rng.choice(("&", "|"))
    signs = [rng.random() < 0.35 for _ in chosen]
    text = f" {glue} ".join(f"~{n}" if no else n for n, no in zip(chosen, signs, strict=True))
    said = "and" if glue == "&" else "or"
    levels = join((f"{n} = {int(not no)}" for n, no in zip(chosen, signs, strict=True)), said)
    prose = join(
        (
            f"{meaning[n]} ({n} = 1)" if not no else f"not: {meaning[n]} ({n} = 0)"
            for n, no in zip(chosen, signs, strict=True)
        ),
        said,
    )
    return (f"({text})" if len(chosen) > 1 else text), levels, prose


@family("stories")
def story_rules(rng: random.Random) -> Draft:
    """Two outputs by rules, each with an exception."""
    place, inputs, outputs = rng.choice(_WORLDS)
    names = list(inputs)
    while True:
        rules = [
            (_clause(rng, names, inputs), _clause(rng, names, inputs), rng.choice(("unless", "also"))) for _ in outputs
        ]
        values = [[_value(rule, names, row) for row in range(16)] for rule in rules]
        alone = [[_evaluated(rule[0][0], names, row) for row in range(16)] for rule in rules]
        is_plain = all(len(set(v)) == 2 and v != a for v, a in zip(values, alone, strict=True))
        is_plain = is_plain and values[0] != values[1]
        if is_plain and all(_is_used(values, bit) for bit in range(4)):
            break
    assigns, plain, prose = list[tuple[str, str]](), list[str](), list[str]()
    for (y, does), (first, second, kind) in zip(outputs.items(), rules, strict=True):
        text = f"{first[0]} & ~{_wrapped(second[0])}" if kind == "unless" else f"{first[0]} | {second[0]}"
        assigns.append((y, text))
        if kind == "unless":
            plain.append(f"{y} is 1 if {first[1]}, but never if {second[1]}")
            prose.append(f"{does} ({y} = 1) if {first[2]}; it does not, whatever else holds, if {second[2]}")
        else:
            plain.append(f"{y} is 1 if {first[1]}, and also if {second[1]}")
            prose.append(f"{does} ({y} = 1) if {first[2]}; it also does if {second[2]}")
    told = ". ".join(text[0].upper() + text[1:] for text in prose)
    meanings = "; ".join(f"{n} is 1 when {what}" for n, what in inputs.items())
    return Draft(
        ("control_logic", "rules", "safety_logic"),
        {"place": place, "rules": " / ".join(text for _, text in assigns)},
        [*map(inp, inputs), *map(out, outputs)],
        assigns,
        f"Logic of {join(names)}: {'; '.join(plain)}. Otherwise each output is 0.",
        f"Design the control logic of {place}. {meanings}. {'. '.join(plain)}. In all other cases an output is 0.",
        f"A circuit watches over {place}, with the inputs {join(names)}. Its rules: {told}. When no rule makes an "
        f"output "
        f"1, it is 0.",
    )


def _wrapped(text: str) -> str:
    return text if text.startswith("(") or text.isidentifier() else f"({text})"


def _value(rule: tuple[tuple[str, str, str], tuple[str, str, str], str], names: Sequence[str], row: int) -> int:
    first, second = (_evaluated(part[0], names, row) for part in rule[:2])
    return first & ~second & 1 if rule[2] == "unless" else first | second


def _evaluated(text: str, names: Sequence[str], row: int) -> int:
    words = text.strip("()").split()
    bits_of = {n: row >> k & 1 for k, n in enumerate(names)}
    values = [bits_of[w.strip("~")] ^ w.startswith("~") for w in words[::2]]
    return int(any(values)) if "|" in words else int(all(values))


def _is_used(values: Sequence[Sequence[int]], bit: int) -> bool:
    return any(v[row] != v[row ^ (1 << bit)] for v in values for row in range(16))
