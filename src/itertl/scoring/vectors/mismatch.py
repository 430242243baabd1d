"""The first difference in words: which output, what it is and should be, at which step, with which inputs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from itertl.scoring.interface import Port
from itertl.scoring.vectors.oracle import ReferenceRun
from itertl.scoring.vectors.outcome import ONES, ZEROS, Comparison, number

_INPUTS_CHARS = 160
_VALUE_CHARS = 40


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One wrong output in one step. Example: ``Mismatch(17, "q", "4'b0011", "4'b0010", "clk=1'b1, d=8'h0a")``."""

    step: int
    output: str
    got: str
    expected: str
    inputs: str


def describe(run: ReferenceRun, outputs: Sequence[str], found: Comparison) -> str:
    """For example ``share 0.9731; output q: 4'b0011, the reference has 4'b0010, at step 17 of 4000 (clk=1'b1,
    d=8'h0a)``."""
    assert found.first is not None
    first = mismatch(run, outputs, found.first)
    settings = "".join(f"with {name} = {value}: " for name, value in run.parameters.items())
    return (
        f"{settings}share {found.share:.4f}; output {first.output}: {first.got}, the reference has {first.expected}, "
        f"at step {first.step} of {len(run.outputs)} ({first.inputs})"
    )


def mismatch(run: ReferenceRun, outputs: Sequence[str], step: int) -> Mismatch:
    """What is wrong in a step in which an output differs: of several outputs, the first port."""
    mine, its = split_outputs(run, outputs[step]), split_outputs(run, run.outputs[step])
    port = next(p for p in run.interface.outputs if not matches(its[p.name], mine[p.name]))
    inputs = _short(", ".join(f"{p.name}={_hex(p, value)}" for p, value in split_inputs(run, step)), _INPUTS_CHARS)
    return Mismatch(step, port.name, _binary(port, mine[port.name]), _binary(port, its[port.name]), inputs)


def wrong_outputs(run: ReferenceRun, outputs: Sequence[str]) -> tuple[str, ...]:
    """The outputs that differ from the reference's in any step that is compared, in the order of the ports."""
    expected, text = run.expected, "".join(outputs)
    wrong = (expected.ones & ~number(text, ONES)) | (expected.zeros & ~number(text, ZEROS))
    unit = ((1 << expected.width * expected.length) - 1) // ((1 << expected.width) - 1)
    found, low = list[str](), 0
    for port in run.interface.outputs:
        if wrong & (unit * ((1 << port.width) - 1) << low):
            found.append(port.name)
        low += port.width
    return tuple(found)


def matches(expected: str, got: str) -> bool:
    """The rule on one word: where the reference has 0 or 1, the same."""
    return all(e not in "01" or e == g for e, g in zip(expected, got, strict=True))


def split_outputs(run: ReferenceRun, sample: str) -> dict[str, str]:
    """Output -> its bits in one sample."""
    found: dict[str, str] = {}
    end = len(sample)
    for port in run.interface.outputs:
        found[port.name] = sample[end - port.width : end]
        end -= port.width
    return found


def split_inputs(run: ReferenceRun, step: int) -> Iterator[tuple[Port, int]]:
    """(input, its value) in one step."""
    word = run.stimulus.words[step]
    for port in run.interface.inputs:
        yield port, word & ((1 << port.width) - 1)
        word >>= port.width


def _short(text: str, most: int = _VALUE_CHARS) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _binary(port: Port, bits: str) -> str:
    return f"{port.width}'b{_short(bits)}"


def _hex(port: Port, value: int) -> str:
    if port.width == 1:
        return f"1'b{value}"
    return f"{port.width}'h{_short(f'{value:0{-(-port.width // 4)}x}')}"
