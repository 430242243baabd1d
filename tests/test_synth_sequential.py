"""The sequential families: their words name every port, and models written from the words alone agree with the code."""

import random
import re
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from itertl.synth.design import DesignSpec, Family, PortSpec, register
from itertl.synth.registry import families
from itertl.tools import icarus

CATEGORIES = ("counters", "crc_lfsr", "fsm", "handshakes", "memories", "registers", "shift_registers", "timing")
FAMILIES: dict[str, Family] = {f.name: f for f in families().values() if f.category in CATEGORIES}
CYCLES = 250


def designs(name: str, count: int) -> list[DesignSpec]:
    return [FAMILIES[name].build(random.Random(seed)) for seed in range(count)]


def test_names_are_unique_and_plenty() -> None:
    assert len(FAMILIES) >= 26
    with pytest.raises(ValueError, match="two families are called 'fifo'"):
        register("memories", "fifo", FAMILIES["fifo"].build)


@pytest.mark.parametrize("name", FAMILIES)
def test_words_name_every_port_and_not_the_module(name: str) -> None:
    for design in designs(name, 150):
        assert design.family == name
        assert len(set(design.descriptions)) >= 3
        assert design.module not in {p.name for p in design.ports}
        for text in design.descriptions:
            words = set(re.findall(r"[A-Za-z_]\w*", text))
            assert {p.name for p in design.ports} <= words, text
            assert len(text.split()) <= 170


@pytest.mark.parametrize("name", FAMILIES)
def test_parameters_vary_and_the_seed_decides(name: str) -> None:
    found = designs(name, 300)
    assert found == designs(name, 300)
    assert len({tuple(d.parameters.items()) for d in found}) >= 35


@pytest.mark.parametrize("name", FAMILIES)
def test_equal_parameters_mean_an_equal_interface(name: str) -> None:
    """Widths, directions and clocking follow from the parameters: nothing functional is drawn beside them."""
    shapes: dict[tuple[Any, ...], Any] = {}
    for design in designs(name, 300):
        reset = design.reset and (design.reset.active_low, design.reset.asynchronous)
        shape = ([(p.direction, p.width, p.signed) for p in design.ports], design.edge, reset)
        assert shapes.setdefault(tuple(design.parameters.items()), shape) == shape


def test_icarus_takes_all_without_a_warning() -> None:
    texts = []
    for name in FAMILIES:
        for number, design in enumerate(designs(name, 3)):
            texts.append(design.reference.replace(f"module {design.module} ", f"module {name}_{number} ", 1))
    done = icarus.simulate({"all.v": "\n".join(texts)}, flags=("-g2012", "-Wall", "-Wno-timescale"), run=False)
    assert (done.compiled.returncode, done.compiled.stderr) == (0, "")


# ---- models written from the descriptions, not from the code -------------------------------------------------------


def trace(design: DesignSpec, cycles: list[dict[str, int]]) -> list[dict[str, int | None]]:
    """Outputs in each cycle, after the inputs changed and before the active clock edge; None: not all bits known."""
    inputs = [p for p in design.ports if p.direction == "input"]
    outputs = [p for p in design.ports if p.direction == "output"]
    idle = 0 if design.edge == "posedge" else 1
    lines = ["module bench;"] + [f"  {_declared(p)};" for p in design.ports]
    lines.append(f"  {design.module} dut ({', '.join(f'.{p.name}({p.name})' for p in design.ports)});")
    lines += ["  initial begin", f"    {design.clock} = {idle};"]
    show = f'$display("{" ".join(["%0d"] * len(outputs))}", {", ".join(p.name for p in outputs)});'
    for values in cycles:
        drive = " ".join(f"{p.name} = {values[p.name]};" for p in inputs if p.name != design.clock)
        lines.append(f"    {drive} #2 {show} #3 {design.clock} = {1 - idle}; #5 {design.clock} = {idle};")
    text = "\n".join([*lines, "  end", "endmodule", design.reference])
    done = icarus.simulate({"bench.v": text}, top="bench")
    assert done.ran is not None, done.compiled.stderr
    rows = [line.split() for line in done.ran.stdout.splitlines()]
    assert len(rows) == len(cycles)
    return [{p.name: int(v) if v.isdigit() else None for p, v in zip(outputs, row, strict=True)} for row in rows]


def _declared(port: PortSpec) -> str:
    kind = "reg" if port.direction == "input" else "wire"
    return f"{kind} [{port.width - 1}:0] {port.name}"


class Model:
    """One design's behaviour in Python. ``i`` and ``o``: its data inputs and outputs, in the order of the header."""

    def __init__(self, design: DesignSpec) -> None:
        control = {design.clock, design.reset.name if design.reset else None}
        self.p: dict[str, Any] = design.parameters
        self.i = [p.name for p in design.ports if p.direction == "input" and p.name not in control]
        self.o = [p.name for p in design.ports if p.direction == "output"]
        self.reset()

    def reset(self) -> None: ...
    def outputs(self, x: list[int]) -> list[int]: ...
    def step(self, x: list[int]) -> None: ...

    def enabled(self, value: int) -> bool:
        return bool(value) == (self.p["enable"] == "high")


class BinaryCounter(Model):
    def reset(self) -> None:
        self.q = self.p["start"]

    def outputs(self, x: list[int]) -> list[int]:
        return [self.q]

    def step(self, x: list[int]) -> None:
        if not x or self.enabled(x[0]):
            self.q = (self.q + (1 if self.p["way"] == "up" else -1)) % (1 << self.p["width"])


class SaturatingCounter(Model):
    def reset(self) -> None:
        self.q = self.p["start"]

    def outputs(self, x: list[int]) -> list[int]:
        return [self.q, int(self.q >= self.p["threshold"])][: len(self.o)]

    def step(self, x: list[int]) -> None:
        self.q = min(self.p["top"], max(0, self.q + x[0] - x[1]))


class CrcSerial(Model):
    """Polynomial division done with Python integers."""

    def reset(self) -> None:
        self.crc = self.p["start"]

    def outputs(self, x: list[int]) -> list[int]:
        return [self.crc]

    def step(self, x: list[int]) -> None:
        names = dict(
            zip(
                (["en"] if self.p["enable"] != "none" else []) + (["clr"] if self.p["clear"] else []) + ["d"],
                x,
                strict=True,
            )
        )
        width = self.p["width"]
        if names.get("clr"):
            self.crc = self.p["start"]
        elif names.get("en", 1):
            value = (self.crc << 1) ^ (names["d"] << width)
            self.crc = value ^ (self.p["poly"] | 1 << width) if value >> width else value


class CrcWord(Model):
    def reset(self) -> None:
        self.crc = self.p["start"]

    def outputs(self, x: list[int]) -> list[int]:
        return [self.crc]

    def step(self, x: list[int]) -> None:
        valid, word = x
        size, width = self.p["size"], self.p["width"]
        text = f"{word:0{size}b}"
        for bit in (text if self.p["order"] == "msb" else text[::-1]) if valid else "":
            value = (self.crc << 1) ^ (int(bit) << width)
            self.crc = value ^ (self.p["poly"] | 1 << width) if value >> width else value


class LfsrGalois(Model):
    def reset(self) -> None:
        self.q = self.p["start"]

    def outputs(self, x: list[int]) -> list[int]:
        return [self.q]

    def step(self, x: list[int]) -> None:
        if x and not self.enabled(x[0]):
            return
        text = f"{self.q:0{self.p['width']}b}"
        dropped, moved = (text[0], text[1:] + "0") if self.p["way"] == "left" else (text[-1], "0" + text[:-1])
        self.q = int(moved, 2) ^ (self.p["mask"] if dropped == "1" else 0)


class Fifo(Model):
    def reset(self) -> None:
        self.words: deque[int] = deque()

    def outputs(self, x: list[int]) -> list[int]:
        held = len(self.words)
        return [self.words[0] if held else 0, int(held == self.p["depth"]), int(held == 0), held][: len(self.o)]

    def step(self, x: list[int]) -> None:
        push, pop, word = x
        room = len(self.words) < self.p["depth"] or (self.p["when_full"] == "swap" and pop)
        if pop and self.words:
            self.words.popleft()
        if push and room:
            self.words.append(word)


class Stack(Model):
    def reset(self) -> None:
        self.words: list[int] = []

    def outputs(self, x: list[int]) -> list[int]:
        held = len(self.words)
        return [self.words[-1] if held else 0, int(held == self.p["depth"]), int(held == 0)]

    def step(self, x: list[int]) -> None:
        push, pop, word = x
        if push and pop and self.p["both"] == "replace":
            if self.words:
                self.words[-1] = word
        elif push and not (pop and self.p["both"] == "pop"):
            if len(self.words) < self.p["depth"]:
                self.words.append(word)
        elif pop and self.words:
            self.words.pop()


class SequenceDetector(Model):
    """By looking at the text of all bits so far."""

    def reset(self) -> None:
        self.seen, self.found = "", 0

    def _ends(self, text: str) -> bool:
        return text.endswith(self.p["pattern"])

    def outputs(self, x: list[int]) -> list[int]:
        return [self.found if self.p["machine"] == "moore" else int(self._ends(self.seen + str(x[0])))]

    def step(self, x: list[int]) -> None:
        self.seen += str(x[0])
        self.found = int(self._ends(self.seen))
        if self.found and not self.p["overlap"]:
            self.seen = ""


class RoundRobin(Model):
    def reset(self) -> None:
        self.last, self.grant = self.p["start"], 0

    def outputs(self, x: list[int]) -> list[int]:
        return [self.grant]

    def step(self, x: list[int]) -> None:
        requests, n = x[-1], self.p["requests"]
        if (len(x) > 1 and not x[0]) or (self.p["hold"] and self.grant & requests):
            return
        order = [(self.last + self.p["way"] * k) % n for k in range(1, n + 1)]
        self.grant = 0
        for k in order:
            if requests >> k & 1:
                self.last, self.grant = k, 1 << k
                break


class SkidBuffer(Model):
    def reset(self) -> None:
        self.words: deque[int] = deque()
        self.left = 0

    def outputs(self, x: list[int]) -> list[int]:
        shown = self.words[0] if self.words else self.left if self.p["empty_shows"] == "last" else 0
        return [int(len(self.words) < 2), int(bool(self.words)), shown]

    def step(self, x: list[int]) -> None:
        valid, data, ready = x
        room = len(self.words) < 2
        if ready and self.words:
            self.left = self.words.popleft()
        if valid and room:
            self.words.append(data)


class FrameReceiver(Model):
    """Collects the bits of a frame in a list and judges it at the stop bit."""

    def reset(self) -> None:
        self.frame: list[int] | None = None
        self.out = [0, 0, 0]

    def outputs(self, x: list[int]) -> list[int]:
        return self.out

    def step(self, x: list[int]) -> None:
        n, parity = self.p["bits"], self.p["parity"]
        self.out = [self.out[0], 0, 0]
        if self.frame is None:
            self.frame = [] if x[0] == 0 else None
            return
        self.frame.append(x[0])
        if len(self.frame) < n + (parity != "none") + 1:
            return
        data, ones = self.frame[:n], sum(self.frame[:-1])
        good = self.frame[-1] and (parity == "none" or ones % 2 == (parity == "odd"))
        ordered = data[::-1] if self.p["order"] == "lsb" else data
        self.out = [int("".join(map(str, ordered)), 2), 1, 0] if good else [self.out[0], 0, 1]
        self.frame = None


MODELS: dict[str, Callable[[DesignSpec], Model]] = {
    "binary_counter": BinaryCounter,
    "saturating_counter": SaturatingCounter,
    "crc_serial": CrcSerial,
    "crc_word": CrcWord,
    "lfsr_galois": LfsrGalois,
    "fifo": Fifo,
    "stack": Stack,
    "sequence_detector": SequenceDetector,
    "round_robin_arbiter": RoundRobin,
    "skid_buffer": SkidBuffer,
    "frame_receiver": FrameReceiver,
}


def _stimulus(design: DesignSpec, rng: random.Random) -> list[dict[str, int]]:
    cycles = []
    for number in range(CYCLES):
        values = {p.name: rng.randrange(1 << p.width) for p in design.ports if p.direction == "input"}
        if design.reset:
            asserted = number == 0 or rng.random() < 0.02
            values[design.reset.name] = int(asserted != design.reset.active_low)
        cycles.append(values)
    return cycles


def _expected(design: DesignSpec, model: Model, cycles: list[dict[str, int]]) -> list[dict[str, int] | None]:
    """What the model shows; None before the first reset of a design that has one."""
    known = design.reset is None
    rows: list[dict[str, int] | None] = []
    for values in cycles:
        asserted = design.reset is not None and values[design.reset.name] != int(design.reset.active_low)
        if asserted and design.reset and design.reset.asynchronous:
            model.reset()
            known = True
        data = [values[name] for name in model.i]
        rows.append(dict(zip(model.o, model.outputs(data), strict=True)) if known else None)
        if asserted:
            model.reset()
            known = True
        else:
            model.step(data)
    return rows


@pytest.mark.parametrize("name", MODELS)
def test_the_code_does_what_a_model_of_the_words_does(name: str) -> None:
    for seed, design in enumerate(designs(name, 5)):
        cycles = _stimulus(design, random.Random(f"{name}{seed}"))
        expected = _expected(design, MODELS[name](design), cycles)
        for cycle, (want, got) in enumerate(zip(expected, trace(design, cycles), strict=True)):
            assert want is None or got == want, (design.parameters, cycle, cycles[cycle])
