"""The lines of a design that drive an output, and those that drive what they read: where to look for its mistake.

(After VerilogCoder, Ho et al., 2024, arXiv:2408.08927, which traces a wrong output back through its drivers.) It runs
slang in this process: call it in a worker.
"""

from itertl.scoring.drivers import Text, read
from itertl.tools import slang

_LINE_CHARS = 120


def driving_lines(code: str, top: str, output: str, *, depth: int = 2, most: int = 12) -> list[str]:
    """``"12: q <= d;"`` for each line that assigns ``output`` of module ``top``, nearest first, then for what these
    read, ``depth`` steps back; at most ``most``. Empty where the text does not parse."""
    unit = slang.parse(code)
    if unit.error or top not in unit.modules:
        return []
    module = next(i for i in unit.items if i.kind.name == "ModuleDeclaration" and i.header.name.valueText == top)
    found = read(Text(code), module, {}).drivers
    lines = code.splitlines()
    wanted, done, lines_at = {(top, output)}, set[tuple[str, str]](), dict[int, None]()
    for _ in range(depth):
        sources: set[tuple[str, str]] = set()
        for driver in found:
            if driver.targets & wanted:
                first, last = (code.count("\n", 0, at) + 1 for at in driver.span)
                lines_at.update(dict.fromkeys(range(first, last + 1)))
                sources |= driver.sources
        done |= wanted
        wanted = sources - done
    shown = [number for number in lines_at if 0 < number <= len(lines)][:most]
    return [f"{number}: {lines[number - 1].strip()[:_LINE_CHARS]}" for number in shown]
