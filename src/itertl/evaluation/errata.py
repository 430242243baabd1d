"""What is known to be wrong with published benchmarks, as data: benchmark -> task_id -> what and why.

Faults of a problem itself (``FAULTS``) make it unjudgeable: no completion can be judged, whoever wrote it. The other
kinds are notes. A problem that an older simulator cannot run is tried on another one first, and a weak testbench stays
in, because it is in everyone's figures. Each entry was found by running the problem's reference and an emptied design
through Icarus Verilog 11 (docs/benchmarks.md says how), except those of designs that are not in every copy of RTLLM,
where the testbench was read and the cause alone was tried.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict


class Kind(StrEnum):
    """What is wrong with a problem."""

    REFERENCE = "reference"  # its reference fails its own testbench, and no right answer is known
    PROMPT = "prompt"  # what is asked contradicts what is tested, or gives the answer away
    TESTBENCH = "testbench"  # the testbench passes every design that compiles, or tests nothing
    SIMULATOR = "simulator"  # nothing, but an older simulator cannot run it
    FOUR_STATE = "four-state"  # the same, and what it leaves undefined cannot be judged by a simulator without X
    WEAK = "weak"  # the testbench passes a design without a body


FAULTS = frozenset({Kind.REFERENCE, Kind.PROMPT, Kind.TESTBENCH})
NEEDS_ANOTHER_SIMULATOR = frozenset({Kind.SIMULATOR, Kind.FOUR_STATE})


class Known(TypedDict):
    """The fields of a ``Benchmark`` that errata fill."""

    errata: dict[str, str]
    notes: dict[str, str]
    four_state: frozenset[str]


@dataclass(frozen=True, slots=True)
class Erratum:
    """One finding. Example: ``Erratum(Kind.PROMPT, "asks for ports Y1 and Y3, its testbench connects Y2 and Y4")``."""

    kind: Kind
    reason: str


_CAST = Erratum(Kind.SIMULATOR, "its testbench casts to a type, which Icarus 11 cannot; Icarus 12 can, and Verilator")
_CAST_AND_UNDEFINED = Erratum(
    Kind.FOUR_STATE,
    "its testbench casts to a type, which Icarus 11 cannot, and it leaves an output free at times, which Verilator "
    "cannot express: it needs Icarus 12 or newer",
)
_NEVER_DEFINED = Erratum(
    Kind.WEAK, "the reference is undefined nearly throughout, and an undefined output matches everything"
)
_UNDEFINED_STIMULUS = Erratum(
    Kind.TESTBENCH,
    "its operands are $random % (1 << 32), the remainder of a division by 0: undefined, so nothing is tested",
)
_X_IS_RIGHT = Erratum(Kind.WEAK, "its testbench counts an undefined output as right")
_UNDEFINED_SOON = Erratum(Kind.WEAK, "the reference is undefined after its first sample, so that a constant 0 passes")
_ZERO_PASSES = Erratum(Kind.WEAK, "its testbench passes a constant 0")
_RTLLM = {
    "edge_detect": _ZERO_PASSES,
    "asyn_fifo": Erratum(Kind.SIMULATOR, "its testbench has a break statement, which Icarus 11 cannot; Verilator can"),
    "radix2_div": Erratum(
        Kind.SIMULATOR,
        "its testbench changes inputs at the clock's edge: in the order of Icarus its reference fails, in Verilator's "
        "it passes",
    ),
}

_VERILOGEVAL_V2 = {
    "Prob053_m2014_q4d": _UNDEFINED_SOON,
    "Prob151_review2015_fsm": _CAST,
    "Prob156_review2015_fancytimer": _CAST_AND_UNDEFINED,
}
_VGEN = {"intermediate1": _ZERO_PASSES}

ERRATA: Mapping[str, Mapping[str, Erratum]] = {
    "verilogeval-v1-human": {
        "review2015_fsm": _CAST,
        "review2015_fancytimer": _CAST_AND_UNDEFINED,
        "m2014_q4d": _UNDEFINED_SOON,
    },
    "verilogeval-v1-machine": {"fsm_ps2": _NEVER_DEFINED, "2012_q2fsm": _NEVER_DEFINED, "m2014_q4d": _UNDEFINED_SOON},
    "verilogeval-v2-spec-to-rtl": {
        "Prob099_m2014_q6c": Erratum(
            Kind.PROMPT, "asks for outputs Y1 and Y3, which its reference has; its testbench connects Y2 and Y4"
        ),
        **_VERILOGEVAL_V2,
    },
    "verilogeval-v2-code-complete": _VERILOGEVAL_V2,
    "rtllm-1.1": {
        **_RTLLM,
        "div_16bit": Erratum(
            Kind.TESTBENCH, "its testbench declares a variable twice, which is not Verilog; version 2.0 fixed it"
        ),
    },
    "rtllm-2.0": {
        **_RTLLM,
        "ring_counter": Erratum(
            Kind.TESTBENCH, "its testbench announces success after nine clocks, whatever was counted"
        ),
        "fixed_point_adder": _UNDEFINED_STIMULUS,
        "fixed_point_substractor": _UNDEFINED_STIMULUS,
        "comparator_3bit": _X_IS_RIGHT,
        "comparator_4bit": _X_IS_RIGHT,
        "sequence_detector": _X_IS_RIGHT,
        "square_wave": Erratum(
            Kind.WEAK, "its testbench only looks for too many ones: a constant 0, or nothing, passes"
        ),
    },
    "chipbench": {
        "Prob006_cpu_top": Erratum(
            Kind.TESTBENCH,
            "its testbench never hands its reference an instruction: its address stays 0, and each clock counts as one",
        ),
    },
    "vgen-low": _VGEN,
    "vgen-medium": _VGEN,
    "vgen-high": {**_VGEN, "advanced3": Erratum(Kind.PROMPT, "its prompt holds the whole answer, up to endmodule")},
}


def of(benchmark: str) -> Mapping[str, Erratum]:
    """All that is known of a benchmark's problems, by task_id."""
    return ERRATA.get(benchmark, {})


def known(benchmark: str) -> Known:
    """Faults, which make a problem unjudgeable; notes on others; and what a simulator without X would judge wrongly."""
    found = of(benchmark)
    return {
        "errata": {ident: erratum.reason for ident, erratum in found.items() if erratum.kind in FAULTS},
        "notes": {ident: erratum.reason for ident, erratum in found.items() if erratum.kind not in FAULTS},
        "four_state": frozenset(ident for ident, erratum in found.items() if erratum.kind is Kind.FOUR_STATE),
    }
