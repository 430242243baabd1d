"""What one Pyverilog verdict costs: RTLCoder's way (a fresh ``VerilogCodeParser`` for each text) against ours.

Both judge the same texts in the same process, in alternation; ours keeps one parser, whose one-off cost is reported
separately. Also measured: each scorer's time for one item. Texts: an RTLCoder sample file (``--data``), or, where there
is none, references of the bundled generator, every second one cut in half.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import time
from collections.abc import Callable, Generator
from pathlib import Path

from itertl.runs.rows import objects, read_text
from itertl.sandbox import sandbox
from itertl.scoring.item import ScoreItem
from itertl.scoring.score_lines import interpret
from itertl.scoring.scorers import SCORERS, get_scorer
from itertl.tools import pyverilog

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "rtlcoder_scoring_sample.jsonl"


def load_items(data: Path, limit: int) -> tuple[list[ScoreItem], str]:
    """Up to ``limit`` items and where they come from."""
    if data.exists():
        rows = objects(read_text(data), str(data), is_strict=True)
        items = [item for where, row in rows for item in interpret(row, where, ["rtlcoder"], dict).items]
        return items[:limit], data.name
    from itertl.synth.generate import generate

    problems = generate(0, limit)
    texts = [p.reference or "" for p in problems]
    codes = [text[: len(text) // 2] if n % 2 else text for n, text in enumerate(texts)]
    items = [ScoreItem(c, p.header, p.reference, p.top) for c, p in zip(codes, problems, strict=True)]
    return items, "bundled generator"


def upstream_parses(code: str, folder: Path) -> bool:
    """RTLCoder's way, in a folder of its own (the current one): file, preprocessor, parser with fresh tables."""
    from pyverilog.vparser.parser import VerilogCodeParser

    (folder / "design.v").write_bytes(code.encode("utf-8", "surrogatepass"))
    try:
        VerilogCodeParser(["design.v"], outputdir=str(folder)).parse()
    except Exception:
        return False
    return True


def timed(call: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def measure_theirs(code: str) -> tuple[float, object]:
    with (
        sandbox.scratch() as folder,
        contextlib.chdir(folder),
        contextlib.redirect_stderr(io.StringIO()),
        quiet_tools(),
    ):
        return timed(lambda: upstream_parses(code, folder))


@contextlib.contextmanager
def quiet_tools() -> Generator[None, None, None]:
    """Send file descriptor 2 to nowhere: upstream lets its preprocessor write there."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def seconds_per_item(name: str, items: list[ScoreItem]) -> float:
    """Median time of one scorer, in this process."""
    scorer = get_scorer(name)
    return statistics.median(timed(lambda item=item: scorer(item))[0] for item in items)


def measure(items: list[ScoreItem], source: str) -> dict[str, object]:
    setup, _ = timed(lambda: pyverilog.parses("module warm; endmodule"))
    ours: list[float] = []
    theirs: list[float] = []
    differing: list[int] = []
    for number, item in enumerate(items):
        text = item.header + item.code[len(item.header) :]
        their_time, their_verdict = measure_theirs(text)
        our_time, our_verdict = timed(lambda text=text: pyverilog.parses(text)[0])
        ours.append(our_time)
        theirs.append(their_time)
        if their_verdict != our_verdict:
            differing.append(number)
    scorers = {name: seconds_per_item(name, items) for name in SCORERS}
    return {
        "benchmark": "scoring", "unit": "seconds per candidate (mean)",
        "ours": statistics.mean(ours), "theirs": statistics.mean(theirs),
        "ratio": statistics.mean(theirs) / statistics.mean(ours),
        "agree": not differing, "differing": differing, "candidates": len(items), "data": source,
        "parsed": sum(pyverilog.parses(i.header + i.code[len(i.header) :])[0] for i in items),
        "setup_once_s": setup, "ours_median": statistics.median(ours), "theirs_median": statistics.median(theirs),
        "seconds_per_item_median": scorers, "cpus": os.cpu_count(), "load": os.getloadavg()[0],
        "pyverilog": pyverilog.version(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument("--data", type=Path, default=DEFAULT, help="RTLCoder records")
    parser.add_argument("--limit", type=int, default=40, help="candidates")
    arguments = parser.parse_args()
    result = measure(*load_items(arguments.data, arguments.limit))
    if arguments.json:
        print(json.dumps(result))
        return
    print(
        f"{result['candidates']} candidates of {result['data']}: theirs {result['theirs']:.3f} s, ours "
        f"{result['ours']:.5f} s each"
    )
    print(
        f"{result['ratio']:.0f} times; parser built once in {result['setup_once_s']:.2f} s; verdicts agree: "
        f"{result['agree']}"
    )
    for name, seconds in dict(result["seconds_per_item_median"]).items():  # type: ignore[call-overload]
        print(f"  {name:16} {1000 * seconds:8.2f} ms an item (median)")


if __name__ == "__main__":
    main()
