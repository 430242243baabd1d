"""What is read of a design from outside: ports, and the roles of its inputs by use and by name."""

import json
from pathlib import Path

import pytest

from itertl.judging import gate
from itertl.scoring import interface
from itertl.scoring.interface import Clock, Port, Reset, Unsupported, read, same_ports

RISING, FALLING = frozenset({"posedge"}), frozenset({"negedge"})


def ports(text: str) -> str:
    return f"module m({text}, output reg q); "


def module(text: str, body: str) -> interface.Interface:
    return read(f"{ports(text)} {body} endmodule", "m")


def test_ports_with_width_sign_and_direction() -> None:
    found = read("module m(a, b, y); input [7:0] a; input signed [0:3] b; output [1:0][2:0] y; endmodule", "m")
    assert found.ports == (Port("a", "input", 8, False), Port("b", "input", 4, True), Port("y", "output", 6, False))
    assert not (found.clocks or found.resets or found.has_state or found.has_latch)


@pytest.mark.parametrize(
    ("body", "clocks", "resets"),
    [
        ("always @(posedge a) q <= b;", [("a", RISING)], []),
        ("always @(negedge a) q <= b;", [("a", FALLING)], []),
        ("always_ff @(posedge a or posedge b) if (b) q <= 0; else q <= c;", [("a", RISING)], [("b", True, True)]),
        ("always @(negedge b, posedge a) if (!b) q <= 0; else q <= c;", [("a", RISING)], [("b", False, True)]),
        ("always @(posedge a) if (b) q <= 0; else q <= c;", [("a", RISING)], [("b", True, False)]),
        ("always @(posedge a) if (b == 1'b0) q <= 0; else q <= c;", [("a", RISING)], [("b", False, False)]),
        ("wire n = ~a; always @(posedge n) q <= b;", [("a", FALLING)], []),
        ("wire n; not (n, a); always @(posedge n) q <= b;", [("a", FALLING)], []),
        ("wire r; assign r = ~b; always @(posedge a, posedge r) if (r) q <= 0; else q <= c;", [("a", RISING)], [("b", False, True)]),
        ("reg p; always @(posedge a) p <= b; always @(negedge a) q <= p;", [("a", RISING | FALLING)], []),
        ("always @(posedge a or posedge b) q <= ~q;", [("a", RISING), ("b", RISING)], []),
        ("reg p; always @(posedge a) p <= c; always @(posedge b) q <= p;", [("a", RISING), ("b", RISING)], []),
        ("always @(a, b) if (a) q = b;", [], []),
        ("initial q = 0; always begin @(posedge a); q <= b; end", [("a", RISING)], []),
    ],
)  # fmt: skip
def test_clocks_and_resets_by_use(
    body: str, clocks: list[tuple[str, frozenset[str]]], resets: list[tuple[str, bool, bool]]
) -> None:
    found = module("input a, input b, input c", body)
    assert found.clocks == tuple(Clock(*clock) for clock in clocks)
    assert found.resets == tuple(Reset(*reset) for reset in resets)
    assert found.has_state is bool(clocks)


def test_through_instances_and_a_gate() -> None:
    found = read(
        "module f(input c, d, output reg q); always @(posedge c) q <= d; endmodule "
        "module m(input clk, en, d, output q); wire g; assign g = clk & en; f u(.c(g), .d(d), .q(q)); endmodule",
        "m",
    )
    assert [clock.name for clock in found.clocks] == ["clk"]
    assert found.enables == ("en",)


def test_a_reset_by_name_where_use_does_not_tell() -> None:
    found = module("input clk, input rst_n, input [3:0] d", "wire n = d[0] & rst_n; always @(posedge clk) q <= n;")
    assert found.resets == (Reset("rst_n", False, False),)
    assert module("input rst_n, input d", "always @* q = d & rst_n;").resets == ()


@pytest.mark.parametrize(
    ("body", "holds"),
    [
        ("always @* if (a) q = b;", True),
        ("always @* if (a) q = b; else q = c;", False),
        ("always @* begin q = 0; if (a) q = b; end", False),
        ("always @* case (a) 0: q = b; 1: q = c; endcase", False),
        ("always @* case ({a, b}) 0: q = b; 1: q = c; endcase", True),
        ("always_latch if (a) q <= b;", True),
        ("wire w; assign w = a ? b : w; always @* q = w;", True),
    ],
)
def test_latches(body: str, holds: bool) -> None:
    assert module("input a, input b, input c", body).has_latch is holds


def test_parameters_and_those_that_are_sizes() -> None:
    text = (
        "module m #(parameter W = 4, S0 = 0, S1 = W + 1, localparam L = 2) (input [W-1:0] a, output reg q); "
        "always @* case (a) S0: q = 1; default: q = 0; endcase endmodule"
    )
    assert read(text, "m").parameters == (("W", 4), ("S0", 0), ("S1", 5))
    assert read(text, "m").tunable == ("W",)
    assert read(text, "m", {"W": 6}).ports[0].width == 6
    assert read("module m(a); parameter W = 4, K = 2; input [W-1:0] a; endmodule", "m").tunable == ("W",)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("module m(inout a); endmodule", "port a is bidirectional"),
        ("module m(input real a); endmodule", "port a is of type real"),
        ("module m(input [3:0] a [2]); endmodule", "port a is of type"),
        ("interface i; endinterface module m(i a); endmodule", "port a is an interface"),
        ("module m({a, b}); input a; input b; endmodule", "no name"),
        ("module n; endmodule", "no module named 'm'"),
    ],
)
def test_what_cannot_be_driven_is_named(text: str, what: str) -> None:
    with pytest.raises(Unsupported, match=what):
        read(text, "m")


@pytest.mark.parametrize(
    ("text", "difference"),
    [
        ("output q, input [3:0] a", ""),
        ("input [4:1] a, output q", ""),
        ("input [4:0] a, output q", "port a: 5 bits, the reference has 4"),
        ("input [3:0] a", "port q: missing, the reference has it as output"),
        ("output [3:0] a, output q", "port a: output, the reference has input"),
        ("input [3:0] a, output q, input z", "port z: the reference has no such port"),
    ],
)
def test_the_first_difference_of_ports(text: str, difference: str) -> None:
    reference = read("module m(input [3:0] a, output q); endmodule", "m")
    assert same_ports(read(f"module m({text}); endmodule", "m"), reference) == difference


def test_every_reference_of_verilogeval_has_an_interface(shared_data: Path) -> None:
    """Each clocked one has a clock called so, and no combinational one has any."""
    for line in (shared_data / "verilogeval_v1_human.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found = gate.examine(row["prompt"] + "\n" + row["canonical_solution"], "top_module")
        assert isinstance(found, gate.Design)
        seen = read(found.text, "top_module")
        is_clocked = "posedge" in found.text or "negedge" in found.text
        assert bool(seen.clocks) is seen.has_state is is_clocked, row["task_id"]
        assert all(clock.name in ("clk", "clock") for clock in seen.clocks)
        assert {port.name for port in seen.inputs if "reset" in port.name} == {
            r.name for r in seen.resets if "reset" in r.name
        }
