"""A round of training where the recipe wants it: in this process, or on a group of them."""

import dataclasses
from pathlib import Path

from itertl.config import ComputeConfig
from itertl.progress import Reporter
from itertl.training.round import TrainingJob, TrainResult
from itertl.work import devices, engine, places
from itertl.work.engine import GroupJob


def train(job: TrainingJob, compute: ComputeConfig, reporter: Reporter) -> TrainResult:
    """See ``trainer.train``. A process that is a member of a group already trains as one."""
    used = engine.current()
    count = 1 if devices.is_member() else used.processes(compute)
    if not used.is_apart(count):
        return member(job, reporter)
    policy = dataclasses.replace(job.policy, path=places.whole(job.policy.path), known_digest=job.policy.digest)
    out, log, state = (path.absolute() for path in (job.out, job.log, job.state))
    job = dataclasses.replace(job, policy=policy, out=out, log=log, state=state)
    beside = job.state.with_name(f"{job.state.name}-initial.safetensors")
    writes = [job.out, job.log]
    reads = [path] if (path := Path(policy.path)).exists() else []
    folder = job.out.with_name(f"{job.out.name}.group")
    asked = GroupJob(f"{__name__}:member", job, compute, folder, reads, writes, [job.state, beside])
    return used.group(asked, count, reporter)


def member(job: TrainingJob, reporter: Reporter) -> TrainResult:
    """What each process of a group does, on files of its own machine."""
    from itertl.training import trainer

    policy = dataclasses.replace(job.policy, path=places.here(job.policy.path), known_digest=job.policy.digest)
    paths = {name: places.here(getattr(job, name)) for name in ("out", "log", "state")}
    return trainer.train(dataclasses.replace(job, policy=policy, **paths), reporter)
