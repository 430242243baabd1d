"""The section that says what a run was made from: recipe, versions, simulator, seeds, hashes of every stage."""

from itertl.runs import wording as text
from itertl.runs.read import Run


def provenance_section(run: Run, *, heading: bool) -> str:
    """HTML of the section, recipe and hashes folded away."""
    head = f"<h3>{text.html(run.name)}</h3>" if heading else ""
    return f"{head}{_facts(run)}{_recipe(run)}{_stages(run)}"


def _facts(run: Run) -> str:
    """Versions, simulators, sandbox levels and rules, seed. Several values of one thing are all shown: the run mixes them."""
    versions: dict[str, dict[str, None]] = {}
    for manifest in run.manifests.values():
        for stage in manifest.stages.values():
            for package, version in stage.versions.items():
                versions.setdefault(package, {})[version] = None
    every = [e for m in run.metrics for e in m.evals]
    rows = [
        ("method", run.recipe.method),
        ("model", run.recipe.model.path),
        ("seed", str(run.recipe.seed)),
        ("simulator", ", ".join(dict.fromkeys(e.simulator for e in every)) or text.NOT_MEASURED),
        ("sandbox", ", ".join(dict.fromkeys(e.sandbox for e in every if e.sandbox)) or text.NOT_MEASURED),
        ("verdict rule", ", ".join(dict.fromkeys(e.rule for e in every)) or text.NOT_MEASURED),
        *((package, ", ".join(found)) for package, found in sorted(versions.items())),
    ]
    cells = "".join(f"<tr><td>{text.html(name)}</td><td>{text.html(value)}</td></tr>" for name, value in rows)
    return f'<div class="scroll"><table class="text"><tbody>{cells}</tbody></table></div>'


def _recipe(run: Run) -> str:
    return (
        '<details><summary>Recipe <span class="hint">as resolved, every default spelled out</span></summary>'
        f"<pre>{text.html(run.recipe_text)}</pre></details>"
    )


def _stages(run: Run) -> str:
    """Seed and hashes of every finished stage, from the manifests."""
    rows = []
    for folder, manifest in run.manifests.items():
        for name, stage in manifest.stages.items():
            for direction, hashes in (("from", stage.inputs), ("made", stage.outputs)):
                for item, digest in hashes.items():
                    cells = (folder, name, str(stage.seed), direction, item, digest[:16])
                    rows.append("<tr>" + "".join(f"<td>{text.html(c)}</td>" for c in cells) + "</tr>")
    if not rows:
        return ""
    names = ("folder", "stage", "seed", "", "item", "SHA-256, first 16 digits")
    head = "".join(f"<th>{n}</th>" for n in names)
    return (
        '<details><summary>Stages <span class="hint">what each was made from, and made</span></summary><div class="scroll">'
        f'<table class="text"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div></details>'
    )
