"""Families that show a map, a table, a diagram, a recording or a module: what is shown means what the reference does."""

import random
import re
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator_checks import simulate
from itertl.synth.boolean import sum_of_products
from itertl.synth.design import DesignSpec
from itertl.synth.families.figures import karnaugh
from itertl.synth.families.machines import draw_machine, incoming
from itertl.synth.generate import generate, split_of
from itertl.synth.registry import HELD_OUT_FAMILIES, families
from itertl.tools import icarus

TABLES = st.integers(1, 4).flatmap(
    lambda count: st.lists(st.sampled_from((0, 1, None)), min_size=1 << count, max_size=1 << count)
)


def value_of(expression: str, names: str, row: int) -> int:
    """A sum of products by Python, whose ``&``, ``|`` and (on one bit) ``~`` mean the same."""
    bits = {name: row >> (len(names) - 1 - place) & 1 for place, name in enumerate(names)}
    return eval(expression.replace("1'b", ""), {}, bits) & 1


@given(TABLES)
def test_a_sum_of_products_has_the_tables_values(table: list[int | None]) -> None:
    names = "abcd"[: len(table).bit_length() - 1]
    text = sum_of_products(table, list(names))
    assert all(wanted in (None, value_of(text, names, row)) for row, wanted in enumerate(table))


def read_map(text: str, names: list[str]) -> dict[int, str]:
    """Row number -> cell, of a map in any layout: by its labels alone."""
    lines = [line for line in text.split("\n") if line.strip("|-+ ")]
    if "|" in lines[0] or "\\" in lines[0] or "/" in lines[0]:
        tight = lines[0].replace(" \\ ", "/").strip("| ")
        corner, *tops = re.split(r"[ |]+", tight)
        side, top = corner.split("/")
        body = lines[1:]
    else:
        top = lines[0].strip()
        side, *tops = re.split(r"[ |]+", lines[1].strip())
        body = lines[2:]
    every = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    order = re.findall(every, side) + re.findall(every, top)
    cells: dict[int, str] = {}
    for line in body:
        left, *values = re.split(r"[ |]+", line.strip("| "))
        for up, value in zip(tops, values, strict=True):
            bits = dict(zip(order, left + up, strict=True))
            cells[int("".join(bits[name] for name in names), 2)] = value
    return cells


@pytest.mark.parametrize("names", [["a", "b"], ["p", "q", "r"], ["x[3]", "x[2]", "x[1]", "x[0]"], ["w", "x", "y", "z"]])
def test_a_map_read_by_its_labels_gives_the_table(names: list[str]) -> None:
    for seed in range(60):
        rng = random.Random(seed)
        table = [rng.choice((0, 1, None)) for _ in range(1 << len(names))]
        text, _ = karnaugh(rng, table, names, "d")
        assert read_map(text, names) == {row: "d" if v is None else str(v) for row, v in enumerate(table)}, text


def outputs(design: DesignSpec, rows: list[dict[str, str]], shown: list[str]) -> list[list[str]]:
    """What the reference of a combinational design shows for each row of inputs (Verilog literals)."""
    lines = ["module bench;"]
    lines += [f"  {'reg' if p.direction == 'input' else 'wire'} [{p.width - 1}:0] {p.name};" for p in design.ports]
    lines.append(f"  {design.module} dut ({', '.join(f'.{p.name}({p.name})' for p in design.ports)});\n  initial begin")
    show = f'$display("{" ".join(["%h"] * len(shown))}", {", ".join(shown)});'
    lines += [" ".join(f"{name} = {value};" for name, value in row.items()) + f" #1 {show}" for row in rows]
    done = icarus.simulate({"b.v": "\n".join([*lines, "  end", "endmodule", design.reference])}, top="bench")
    assert done.ran is not None, done.compiled.stderr
    return [line.split() for line in done.ran.stdout.splitlines()]


@pytest.mark.parametrize("name", ["wave_logic", "wave_arithmetic", "wave_lookup", "wave_select", "truth_table_outputs"])
def test_a_recording_or_table_is_what_the_reference_does_and_has_every_case(name: str) -> None:
    for seed in range(8):
        design = families()[name].build(random.Random(seed))
        lines = [re.split(r"[ |]+", line.strip("| ")) for line in design.figure.split("\n") if line.strip("|-+ ")]
        heads, body = lines[0], lines[1:]
        base = "d" if name == "wave_arithmetic" else "h"
        ins = [p for p in design.ports if p.direction == "input"]
        outs = [p.name for p in design.ports if p.direction == "output"]
        table = [dict(zip(heads, line, strict=True)) for line in body]
        rows = [{p.name: f"{p.width}'{base}{row[p.name]}" for p in ins} for row in table]
        found = outputs(design, rows, outs)
        wanted = [[int(row[y], 10 if base == "d" else 16) for y in outs] for row in table]
        assert [[int(value, 16) for value in line] for line in found] == wanted, design.figure
        narrow = ins[:1] if name == "wave_select" else ins
        cases = {tuple(row[p.name] for p in narrow) for row in table}
        assert len(cases) == 1 << sum(p.width for p in narrow)


@pytest.mark.parametrize("name", ["wave_flip_flop", "wave_machine", "wave_counter"])
def test_a_sequential_recording_has_every_step(name: str) -> None:
    """Of each state that occurs, every input occurs with a known next state."""
    for seed in range(12):
        design = families()[name].build(random.Random(seed))
        lines = [re.split(r"[ |]+", line.strip("| ")) for line in design.figure.split("\n") if line.strip("|-+ ")]
        table = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
        state = next(p.name for p in design.ports if p.direction == "output" and p.reg)
        special = {design.clock, design.reset.name if design.reset else None}
        names = [p.name for p in design.ports if p.direction == "input" and p.name not in special]
        if design.clock in table[0]:
            table = table[::2]
        steps: dict[tuple[str, ...], str] = {}
        for before, after in pairwise(table):
            key = (before[state], *(before[name] for name in names))
            assert steps.setdefault(key, after[state]) == after[state]
        last = table[-1]
        known = {*steps, *([(last[state], *(last[n] for n in names))] if design.clock in lines[0] else [])}
        values = {row[state] for row in table}
        assert known >= set(product(values, *(["01"] * len(names)))), design.figure


def test_one_hot_equations_agree_with_the_machine() -> None:
    for seed in range(30):
        machine = draw_machine(random.Random(seed), 5, 1, True)
        for state, x in product(range(5), (0, 1)):
            wires = {f"s{n}": int(n == state) for n in range(5)} | {"x": x}
            found = [
                eval(incoming(machine, n, [f"s{k}" for k in range(5)], "x").replace("1'b", ""), {}, wires) & 1
                for n in range(5)
            ]
            assert found == [int(n == machine.nexts[state][x]) for n in range(5)]


@pytest.mark.parametrize("name", ["fix_expression", "fix_branch", "fix_clocked"])
def test_a_design_to_be_mended_is_wrong_in_one_place_and_stays_in_its_split(name: str) -> None:
    for problem in generate(seed=6, count=3, families=[name]):
        shown = re.search(r"^module .*?^endmodule$", problem.instruction, re.DOTALL | re.MULTILINE)
        assert shown is not None and problem.testbench is not None and problem.reference is not None
        trial = simulate(problem.testbench, shown[0])
        assert trial.compiled and not trial.passed
        assert simulate(problem.testbench, problem.reference).passed
        assert problem.extra["parameters"]["of"] not in HELD_OUT_FAMILIES  # pyright: ignore
    for seed in range(40):
        design = families()[name].build(random.Random(seed))
        assert design.repairs is not None and split_of(design) == split_of(design.repairs)


@pytest.mark.parametrize("name", ["compose_cells", "compose_slices", "compose_stages"])
def test_a_given_module_stands_in_the_instruction_and_in_the_answer(name: str) -> None:
    for problem in generate(seed=2, count=2, families=[name]):
        assert problem.reference is not None and problem.testbench is not None
        given_text = problem.reference.split("endmodule\n\n", 1)[1].rstrip()
        assert given_text in problem.instruction and simulate(problem.testbench, problem.reference).passed
        without = problem.reference.split("\n\n", 1)[0]
        assert not simulate(problem.testbench, without).compiled
