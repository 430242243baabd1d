"""``compute.engine: ray``: what is refused before any work, and, on two hosts with a node each, that a cluster gives the
bytes of one machine whatever happens to its nodes."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import two_hosts
from itertl.config import ComputeConfig, build_recipe, dump_recipe
from itertl.doctor.node import look, machines
from itertl.errors import RecipeError, UsageError
from itertl.evaluation.benchmarks import load, task_id
from itertl.records import TrainStep
from itertl.runs.storage import read_records
from itertl.work import engine
from two_hosts import Hosts

pytestmark = pytest.mark.timeout(1800)  # some wait for the health checks of a cluster

SMOKE = Path(__file__).parent.parent / "recipes" / "smoke.yaml"
RAY = ["compute.engine=ray", f"compute.address={Hosts.address}"]


@pytest.mark.parametrize("address", ["head", "head:", "http://head:6379", "head:port", "ray://head", "", "head:6379/x"])
def test_an_address_is_checked_before_anything_is_reached(address: str) -> None:
    with pytest.raises(RecipeError, match=r"(?s)compute.address.*auto, HOST:PORT .* or ray://HOST:PORT"):
        build_recipe({"compute": {"engine": "ray", "address": address}})


@pytest.mark.parametrize(
    "address", ["auto", "head:6379", "10.0.0.1:6379", "[fe80::1]:6379", "ray://head.cluster:10001"]
)
def test_addresses(address: str) -> None:
    assert build_recipe({"compute": {"engine": "ray", "address": address}}).compute.address == address


def test_what_is_of_a_cluster_needs_one_and_is_not_written_where_unused() -> None:
    with pytest.raises(RecipeError, match=r"storage is of a Ray cluster; set engine: ray"):
        build_recipe({"compute": {"storage": "/shared"}})
    with pytest.raises(RecipeError, match=r"storage 'shared': give a path that begins with /"):
        build_recipe({"compute": {"engine": "ray", "storage": "shared"}})
    assert "storage" not in dump_recipe(build_recipe({}))


def test_nothing_imports_ray_unless_it_is_chosen() -> None:
    modules = "itertl.loop.run, itertl.loop.jobs, itertl.cli.app, itertl.evaluation.judge, itertl.doctor.node"
    code = f"import sys, {modules}; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_without_the_package_one_message_says_how_to_get_it(tmp_path: Path) -> None:
    code = "import sys; sys.modules['ray'] = None; from itertl.__main__ import main; main()"
    command = ["run", str(SMOKE), "compute.engine=ray", "--out", str(tmp_path / "out"), "--json"]
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
    assert done.returncode == 2 and "pip install 'itertl[ray]'" in json.loads(done.stdout)["error"]
    assert not (tmp_path / "out").exists()


def reach(address: str) -> None:
    with machines(ComputeConfig(engine="ray", address=address), print):
        raise AssertionError("reached")


needs_ray = pytest.mark.skipif(
    not two_hosts.has_ray(), reason="the package ray is not installed (pip install 'itertl[ray]')"
)


@needs_ray
@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_an_address_where_nothing_listens_is_said_at_once(prefix: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"{prefix}127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(RecipeError, match=r"compute.address: .* cannot be reached \(.*refused.*ray start --head"):
        reach(address)


@needs_ray
def test_what_listens_and_is_not_ray_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: server.accept()[0].sendall(b"HTTP/1.0 400 Bad\r\n"), daemon=True).start()
        with pytest.raises(RecipeError, match=r"what listens at 127.0.0.1:.* is not Ray"):
            reach(f"127.0.0.1:{server.getsockname()[1]}")


def test_a_command_of_this_machine_does_not_pass_a_cluster_over() -> None:
    with pytest.raises(UsageError, match=r"compute.engine: ray is not for this command"):
        engine.current().processes(ComputeConfig(engine="ray"))


def test_a_machine_tells_what_verdicts_depend_on() -> None:
    seen = look()
    assert (
        seen["Icarus"].startswith("Icarus Verilog")
        and seen["slang"]
        and seen["sandbox"] in ("bubblewrap", "landlock", "rlimits")
    )
    assert "sources" in seen["itertl"]


@needs_ray
def test_a_node_s_difference_is_told_by_name() -> None:
    from itertl.work.cluster.connect import difference

    mine = {"Icarus": "Icarus Verilog 11.0", "slang": "slang 12.1.0", "Verilator": ""}
    assert difference(mine, mine) == ""
    assert difference(mine, {**mine, "Icarus": "Icarus Verilog 12.0"}) == (
        "Icarus is Icarus Verilog 12.0 there and Icarus Verilog 11.0 here"
    )
    assert difference(mine, {**mine, "Verilator": "Verilator 5"}) == "Verilator is Verilator 5 there and missing here"


@needs_ray
def test_each_process_takes_a_gpu_or_an_equal_share_of_a_node() -> None:
    from itertl.work.cluster.actors import resources
    from itertl.work.cluster.connect import Node

    nodes = [Node("a", "10.0.0.1", 16, 0), Node("b", "10.0.0.2", 8, 0)]
    assert resources(nodes, 2) == {"num_cpus": 8}  # one on each node; the smaller one decides
    assert resources(nodes, 5) == {"num_cpus": 2}  # three on a node, of 8 CPUs
    assert resources(nodes, 99) == {"num_cpus": 1}
    assert resources([*nodes, Node("c", "10.0.0.3", 8, 4)], 4) == {"num_gpus": 1, "num_cpus": 1}


@needs_ray
def test_the_members_of_a_group_are_numbered_by_node_and_share_its_gpus() -> None:
    from itertl.work.cluster.group import Seat, environments

    seats = [Seat("b", "10.0.0.2", 5, ("1",)), Seat("a", "10.0.0.1", 6, ("0",)), Seat("b", "10.0.0.2", 7, ("0",))]
    second, first, third = environments(seats)
    assert [row["RANK"] for row in (first, second, third)] == ["0", "1", "2"]
    assert [row["LOCAL_RANK"] for row in (first, second, third)] == ["0", "0", "1"]
    assert {(row["MASTER_ADDR"], row["MASTER_PORT"], row["WORLD_SIZE"]) for row in (first, second, third)} == {
        ("10.0.0.1", "6", "3")
    }
    assert (first["CUDA_VISIBLE_DEVICES"], third["CUDA_VISIBLE_DEVICES"]) == ("0", "1,0")
    assert environments(seats[:1]) == [{}]


@needs_ray
def test_processes_are_those_of_the_recipe_else_one_a_gpu_else_one_a_node() -> None:
    from itertl.work.cluster.connect import Node
    from itertl.work.cluster.engine import Cluster

    def count(*nodes: Node, **compute: Any) -> int:
        config = ComputeConfig(engine="ray", **compute)
        return Cluster(config, list(nodes)).processes(config)

    plain, large = Node("a", "10.0.0.1", 4, 0), Node("b", "10.0.0.2", 4, 8)
    assert (count(plain, plain), count(plain, large), count(plain, processes=3)) == (2, 8, 3)
    with pytest.raises(RecipeError, match=r"processes: 5, but the cluster has 4 CPUs"):
        count(plain, processes=5)
    with pytest.raises(RecipeError, match=r"fsdp needs GPUs"):
        count(plain, strategy="fsdp")
    with pytest.raises(RecipeError, match=r"set compute.storage"):
        count(large, large, strategy="fsdp")


# --- on two hosts


@pytest.fixture(scope="module")
def cluster() -> Iterator[Hosts]:
    """The head on host 1 and a node on host 2, one CPU each."""
    if reason := two_hosts.why_not():
        pytest.skip(reason)
    with two_hosts.hosts() as found:
        found.start(1)
        yield found


@pytest.fixture
def both(cluster: Hosts) -> Iterator[Hosts]:
    """With a fresh node on host 2."""
    cluster.start(2)
    try:
        yield cluster
    finally:
        cluster.join(2)
        cluster.kill(2)
        shutil.rmtree(cluster.folder / "h2", ignore_errors=True)
        wait_for(lambda: len(cluster.living()) == 1, 300)


def wait_for(holds: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Completions of the bundled benchmark: references, and mutants of them."""
    import random
    from itertools import islice

    from itertl.synth.mutants import mutants

    path = tmp_path_factory.mktemp("stored") / "samples.jsonl"
    rows: list[str] = []
    for problem in load("synth-heldout", limit=20).problems:
        text = problem.reference or ""
        texts = [text, text + "\n// again", "module", *(m.text for m in islice(mutants(text, random.Random(1)), 7))]
        rows += [json.dumps({"task_id": task_id(problem), "completion": t, "full_module": True}) for t in texts]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def judged(hosts: Hosts, samples: Path, out: Path, *more: str) -> bytes:
    command = ["eval", str(samples), *more, "--benchmark", "synth-heldout", "--out", str(out), "--json"]
    done = hosts.run(1, command, {"ITERTL_CACHE": str(out / "cache")})
    assert done.returncode == 0, done.stderr
    return (out / "results.jsonl").read_bytes()


@pytest.mark.slow
def test_one_node_and_two_judge_as_this_machine_does(cluster: Hosts, stored: Path, tmp_path: Path) -> None:
    here = judged(cluster, stored, tmp_path / "here")
    assert len(here.splitlines()) > 150 and b'"passed"' in here and b"wrong_output" in here
    assert judged(cluster, stored, tmp_path / "one", *RAY) == here
    cluster.start(2)
    try:
        assert judged(cluster, stored, tmp_path / "two", *RAY) == here
    finally:
        cluster.kill(2)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    rows = [
        {"reference": "module m; endmodule", "completion": f"module m; // {'x' * n}\nendmodule"} for n in range(120)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def scoring(texts: Path, out: Path, *more: str) -> list[str]:
    return ["score", str(texts), *more, "--scorer", "ray_cases:length", "--out", str(out), "--json"]


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["kill", "cut"])
def test_a_node_that_is_lost_while_it_scores_costs_no_score(
    both: Hosts, texts: Path, tmp_path: Path, fate: str
) -> None:
    assert both.run(1, scoring(texts, tmp_path / "here.jsonl")).returncode == 0
    driver = both.begin(1, scoring(texts, tmp_path / "out.jsonl", *RAY), tmp_path / "log")
    wait_for((both.folder / "h2" / "scored").exists, 600)
    {"kill": both.kill, "cut": both.cut}[fate](2)
    assert driver.wait(600) == 0, (tmp_path / "log").read_text()
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "here.jsonl").read_bytes()


RUN = ["run", str(SMOKE), "iterations=1", "evals=[]", "sample.batch_size=1", "sample.num_candidates=15"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The iteration of a run on this machine."""
    out = tmp_path_factory.mktemp("alone") / "run"
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "itertl", *RUN, "--out", str(out)], env=env, check=True, capture_output=True)
    return out / "iter-00"


def same(one: Path, other: Path, *names: str) -> None:
    for name in names or ("candidates.jsonl", "scored.jsonl", "train.jsonl", "checkpoint/model.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def lines(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes().count(b"\n")
    return 0


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["kill", "cut"])
def test_a_node_that_is_lost_while_it_samples_costs_no_candidate(
    both: Hosts, alone: Path, tmp_path: Path, fate: str
) -> None:
    """Two actors draw; then one alone. The round is trained by the one process that is left, as here."""
    driver = both.begin(1, [*RUN, *RAY, "--out", str(tmp_path / "run")], tmp_path / "log")
    wait_for(lambda: lines(tmp_path / "run/iter-00/candidates.jsonl.partial") > 20, 600)
    assert any("_Host" in line for line in both.processes(2).values())
    {"kill": both.kill, "cut": both.cut}[fate](2)
    assert driver.wait(600) == 0, (tmp_path / "log").read_text()
    same(tmp_path / "run" / "iter-00", alone)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["sample", "train"])
def test_a_killed_driver_leaves_nothing_and_the_same_command_goes_on(
    both: Hosts, alone: Path, tmp_path: Path, place: str
) -> None:
    """With one process, so that training's sums are those of one machine."""
    command = [*RUN, *RAY, "compute.processes=1", "--out", str(tmp_path / "run")]
    driver = both.begin(1, command, tmp_path / "log")
    folder = tmp_path / "run" / "iter-00"
    if place == "sample":
        wait_for(lambda: lines(folder / "candidates.jsonl.partial") > 10, 600)
    else:
        wait_for((folder / "train-state" / "progress.json").exists, 600)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    marks = ("ray::_Host", "ray::_Member", "ray::_Board", "ray::_chunk", "multiprocessing")
    wait_for(
        lambda: not [line for n in (1, 2) for line in both.processes(n).values() if any(m in line for m in marks)], 30
    )
    wait_for(lambda: not list(both.folder.glob("h*/itertl-node-*")), 60)
    assert both.run(1, command).returncode == 0
    same(folder, alone)


@pytest.mark.slow
def test_a_group_on_two_nodes_trains_as_one_process_and_outlives_one_of_them(both: Hosts, tmp_path: Path) -> None:
    long = [*RUN, "train.epochs=20", "sample.num_candidates=3"]
    here = subprocess.run([sys.executable, "-m", "itertl", *long, "--out", str(tmp_path / "here")], capture_output=True)
    assert here.returncode == 0
    driver = both.begin(1, [*long, *RAY, "--out", str(tmp_path / "run")], tmp_path / "log")
    folder = tmp_path / "run" / "iter-00"
    wait_for((folder / "train-state" / "progress.json").exists, 600)
    both.kill(2)
    assert driver.wait(600) == 0, (tmp_path / "log").read_text()
    assert "a process of the group died; all 1 are started again" in (tmp_path / "log").read_text()
    assert not list(folder.glob("train-state*")) and not list(folder.glob(".*"))
    mine, theirs = (read_records(at / "train.jsonl", TrainStep) for at in (folder, tmp_path / "here" / "iter-00"))
    assert [row.loss for row in mine] == pytest.approx([row.loss for row in theirs], rel=1e-3)


@pytest.mark.slow
def test_files_go_through_a_shared_folder_where_one_is_named(both: Hosts, alone: Path, tmp_path: Path) -> None:
    command = [*RUN, *RAY, "compute.processes=1", f"compute.storage={tmp_path}", "--out", "run"]
    done = both.run(1, command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    same(tmp_path / "run" / "iter-00", alone)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.slow
def test_a_node_with_another_icarus_is_refused_by_name(cluster: Hosts, texts: Path, tmp_path: Path) -> None:
    other = tmp_path / "iverilog"
    other.write_text(
        '#!/bin/sh\n[ "$1" = -V ] && echo "Icarus Verilog version 99.1 (other)" && exit\nexec iverilog "$@"\n'
    )
    other.chmod(0o755)
    cluster.start(2, env={"ITERTL_IVERILOG": str(other)})
    try:
        done = cluster.run(1, scoring(texts, tmp_path / "out.jsonl", *RAY))
        assert done.returncode == 0 and not (cluster.folder / "h2" / "scored").exists()
        assert "node refused, for verdicts depend on it: 10.77.0.2: Icarus is Icarus Verilog 99.1 there" in done.stderr
        done = cluster.run(2, scoring(texts, tmp_path / "out2.jsonl", *RAY), {"ITERTL_IVERILOG": "nowhere"})
        assert done.returncode == 2 and "no node of the cluster can be used: 10.77.0.1: Icarus" in done.stdout
    finally:
        cluster.kill(2)


@pytest.mark.slow
def test_a_plan_names_engine_address_and_nodes(both: Hosts, tmp_path: Path) -> None:
    done = both.run(1, ["run", str(SMOKE), *RAY, "--plan", "--out", str(tmp_path / "run")])
    assert f"ray at {Hosts.address}, nodes: 10.77.0.1 (1 CPUs), 10.77.0.2 (1 CPUs)" in " ".join(done.stdout.split())
    assert "2 processes (ddp)" in done.stdout and not (tmp_path / "run").exists()
