"""What a run was made from: method, versions, simulator and seeds, and the hashes of every stage."""

from itertl.report.grids import Grid
from itertl.runs import wording as text
from itertl.runs.read import Run


def stage_versions(run: Run) -> dict[str, list[str]]:
    """Each package's versions over all stages: several where the run mixes them."""
    found: dict[str, dict[str, None]] = {}
    for manifest in run.manifests.values():
        for stage in manifest.stages.values():
            for package, version in stage.versions.items():
                found.setdefault(package, {})[version] = None
    return {package: list(versions) for package, versions in found.items()}


def facts_grid(run: Run) -> Grid:
    """Versions, simulators, sandbox levels and rules, seed. Where a run mixes several values, all are shown."""
    every = [e for m in run.metrics for e in m.evals]
    judged_by = {
        "simulator": [e.simulator for e in every],
        "sandbox": [e.sandbox for e in every if e.sandbox],
        "verdict rule": [e.rule for e in every],
    }
    rows = (
        ("method", run.recipe.method), ("model", run.recipe.model.path), ("seed", str(run.recipe.seed)),
        *((name, ", ".join(dict.fromkeys(values)) or text.NOT_MEASURED) for name, values in judged_by.items()),
        *((package, ", ".join(found)) for package, found in sorted(stage_versions(run).items())),
    )  # fmt: skip
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
