"""Workers: who claims trials, trains and records them, and who starts and replaces workers.

The life of a trial: `plan` adds it as waiting. A `Worker` claims it, which takes its lease and makes it
running; a `Keeper` thread renews the lease, and hears when to stop and what the study's limits are now. The
runner of `trials` trains it. Its result is one transaction with the lease. Told to stop, the worker saves a
checkpoint and puts the trial back; if the worker dies, the lease ends and the next worker goes on.

`Serving` knows which studies a worker serves. It opens a study before anything of it is claimed, and passes
over for a while what it cannot read or train: no study costs the others anything. `Shares` knows which
compile keys other workers have begun: what waits with them is claimed last, so that one key is compiled by
one worker as long as there is other work. `WorkerVersions` records what a trial was trained with. A worker
that finds nothing to claim plans. `ray_jobs` sends a study to a Ray cluster, as a job. `run_workers` is the
crew of `hpo run`: child processes of `hpo worker`, replaced when they die or grow, unless they end with the
exit code that says that the study cannot be trained. `in_process` is for a model whose function only this
process has. Imports registry, trials, training and storage.
"""

from hpo.workers.crew import run_workers
from hpo.workers.engines.local import cores
from hpo.workers.in_process import check_workers, of_this_process, run_here
from hpo.workers.worker import Worker

__all__ = [
    "Worker",
    "check_workers",
    "cores",
    "of_this_process",
    "run_here",
    "run_workers",
]
