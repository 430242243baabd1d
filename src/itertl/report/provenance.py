"""What a run was made from: method, versions, simulator and seeds, and the hashes of every stage."""

from itertl.report.tables import Grid
from itertl.runs import wording as text
from itertl.runs.read import Run


def facts_grid(run: Run) -> Grid:
    """Versions, simulators, sandbox levels and rules, seed. Where a run mixes several values, all are shown."""
    versions: dict[str, dict[str, None]] = {}
    for manifest in run.manifests.values():
        for stage in manifest.stages.values():
            for package, version in stage.versions.items():
                versions.setdefault(package, {})[version] = None
    every = [e for m in run.metrics for e in m.evals]
    rows = (
        ("method", run.recipe.method),
        ("model", run.recipe.model.path),
        ("seed", str(run.recipe.seed)),
        ("simulator", ", ".join(dict.fromkeys(e.simulator for e in every)) or text.NOT_MEASURED),
        ("sandbox", ", ".join(dict.fromkeys(e.sandbox for e in every if e.sandbox)) or text.NOT_MEASURED),
        ("verdict rule", ", ".join(dict.fromkeys(e.rule for e in every)) or text.NOT_MEASURED),
        *((package, ", ".join(found)) for package, found in sorted(versions.items())),
    )
    return Grid("Provenance", (), rows)


def stages_grid(run: Run) -> Grid:
    """Seed and hashes of every finished stage, from the manifests."""
    rows = tuple(
        (folder, name, str(stage.seed), direction, item, digest[:16])
        for folder, manifest in run.manifests.items()
        for name, stage in manifest.stages.items()
        for direction, hashes in (("from", stage.inputs), ("made", stage.outputs))
        for item, digest in hashes.items()
    )
    return Grid("Stages", ("folder", "stage", "seed", "", "item", "SHA-256, first 16 digits"), rows)
