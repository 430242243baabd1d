"""The doctor: real probes pass here, and what is missing, broken, crashing or hanging is distinguished."""

import json
import os
import time
from pathlib import Path

import pytest
from rich.console import Console

from itertl.doctor import doctor, probes
from itertl.doctor.doctor import PartCheck
from itertl.tools import icarus

LIGHT = ["slang", "rapidfuzz", "Icarus Verilog", "Yosys", "matplotlib", "model smollm2-135m"]


@pytest.mark.parametrize("name", LIGHT)
def test_a_probe_works_on_the_real_part(name: str) -> None:
    found = probes.run_probe(name)
    if found["status"] == "missing" and os.environ.get("CI") != "true":
        pytest.skip(found["detail"])
    assert found["status"] == "ok", found
    assert found["version"]


@pytest.mark.slow
def test_the_whole_examination_is_healthy_here() -> None:
    checks = doctor.examine()
    assert [c.name for c in checks][:3] == ["Python", "cores and memory", "cache"]
    assert {c.name for c in checks} >= set(probes.PARTS)
    assert doctor.is_healthy(checks), [c for c in checks if c.status not in ("ok", "optional-missing")]


def test_a_missing_simulator_is_missing_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ITERTL_IVERILOG", str(tmp_path / "nothing"))
    icarus.version.cache_clear()
    found = probes.run_probe("Icarus Verilog")
    icarus.version.cache_clear()
    assert found["status"] == "missing"
    check = doctor._check("Icarus Verilog", found)
    assert check.status == "missing"
    assert "apt-get install iverilog" in check.remedy


def test_a_simulator_that_lies_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "iverilog"
    fake.write_text("#!/bin/sh\necho 'Icarus Verilog version 99.0'\nexit 0\n", encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setenv("ITERTL_IVERILOG", str(fake))
    icarus.version.cache_clear()
    found = probes.run_probe("Icarus Verilog")
    icarus.version.cache_clear()
    assert found["status"] == "broken"
    assert doctor._check("Icarus Verilog", found).remedy.startswith("install it again")


def test_an_absent_optional_part_leaves_the_whole_healthy() -> None:
    gone = {"status": "missing", "version": "", "detail": "No module named 'vllm'"}
    optional, needed = doctor._check("vllm", gone), doctor._check("torch", gone)
    assert (optional.status, needed.status) == ("optional-missing", "missing")
    assert doctor.is_healthy([optional])
    assert not doctor.is_healthy([optional, needed])


def crash_or_hang(name: str) -> dict[str, str]:
    """A stand-in for the probes, run in a worker."""
    if name == "torch":
        os.abort()
    if name == "peft":
        time.sleep(60)
    return {"status": "ok", "version": "1", "detail": f"{name} works"}


def test_a_part_that_crashes_or_hangs_is_broken_and_the_others_are_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    names = ["torch", "peft", "rapidfuzz"]
    checks = doctor.examine_parts(names, function=f"{__name__}:crash_or_hang", num_workers=1, timeout_s=3)
    assert [c.name for c in checks] == names
    assert [c.status for c in checks] == ["broken", "broken", "ok"]
    assert "crashed" in checks[0].detail
    assert "timeout" in checks[1].detail
    assert all(c.remedy for c in checks[:2])
    assert checks[2].remedy == ""


@pytest.mark.parametrize(
    ("meminfo", "group", "expected"),
    [
        ("MemTotal:       8388608 kB\nMemFree: 1 kB\n", "max\n", 8.0),
        ("MemTotal:       8388608 kB\n", "2147483648\n", 2.0),
        ("MemTotal:\n", "max\n", None),
        ("", "", None),
        ("MemTotal: many kB\n", "1073741824", 1.0),
    ],
)
def test_memory_is_the_lower_of_machine_and_control_group(
    tmp_path: Path, meminfo: str, group: str, expected: float | None
) -> None:
    (tmp_path / "meminfo").write_text(meminfo, encoding="ascii")
    (tmp_path / "memory.max").write_text(group, encoding="ascii")
    assert doctor.memory_gib(tmp_path / "meminfo", tmp_path / "memory.max") == expected
    assert doctor.memory_gib(tmp_path / "absent", tmp_path / "absent") is None


def test_the_cache_need_not_exist_but_must_take_a_file(tmp_path: Path) -> None:
    assert doctor._disk(tmp_path / "a" / "b").status in ("ok", "optional-missing")
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("x", encoding="utf-8")
    blocked = doctor._disk(tmp_path / "file" / "cache")
    assert blocked.status == "broken"
    assert "ITERTL_CACHE" in blocked.remedy


def test_rendering_shows_every_remedy_and_reads_no_markup() -> None:
    checks = [
        PartCheck("Python", "ok", "3.11.7", "CPython", ""),
        PartCheck("[red]odd[/red]", "missing", "", "not [bold]found", "pip install 'odd[extra]'"),
    ]
    console = Console(width=120, record=True, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    console.print(doctor.render(checks))
    shown = console.export_text()
    assert "[red]odd[/red]" in shown
    assert "pip install 'odd[extra]'" in shown
    assert "not [bold]found" in shown


def test_json_holds_the_fields_and_the_verdict() -> None:
    checks = [PartCheck("Yosys", "missing", "", "not found", "pip install pyosys")]
    value = json.loads(json.dumps(doctor.to_json(checks)))
    assert value["healthy"] is False
    assert value["checks"] == [
        {"name": "Yosys", "status": "missing", "version": "", "detail": "not found", "remedy": "pip install pyosys"}
    ]
