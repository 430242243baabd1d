"""A round of training where the recipe wants it: in this process, or on a group of them."""

from itertl.config import ComputeConfig
from itertl.progress import Reporter
from itertl.training.round import TrainingJob, TrainResult
from itertl.work import devices
from itertl.work.group import run_group


def train(job: TrainingJob, compute: ComputeConfig, reporter: Reporter) -> TrainResult:
    """See ``trainer.train``. A process that is a member of a group already trains as one."""
    count = 1 if devices.is_member() else devices.processes(compute)
    if count == 1:
        from itertl.training import trainer

        return trainer.train(job, reporter)
    folder = job.out.with_name(f"{job.out.name}.group")
    env = devices.group_environment(compute)
    return run_group("itertl.training.trainer:train", job, count, folder, reporter=reporter, env=env)
