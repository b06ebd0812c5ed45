"""Commands for clusters: a job that trains a study, a file by which one of them runs workers."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from hpo.cli.creating import create_from
from hpo.cli.options import (
    AcceptCode,
    CheckpointSeconds,
    CpusPerWorker,
    GpusPerWorker,
    SpecPath,
    StorageUrl,
    Timeout,
    Trials,
    Workers,
)


def submit(
    spec: SpecPath,
    address: Annotated[
        str,
        typer.Option(
            envvar="RAY_API_SERVER_ADDRESS",
            metavar="URL",
            help="Of the cluster's dashboard: http://HOST:PORT.",
        ),
    ],
    storage: StorageUrl = None,
    trials: Trials = None,
    workers: Workers = None,
    cpus_per_worker: CpusPerWorker = None,
    gpus_per_worker: GpusPerWorker = None,
    timeout: Timeout = None,
    checkpoint_seconds: CheckpointSeconds = None,
    accept_code: AcceptCode = False,
) -> None:
    """Create or resume a study, and let a Ray cluster train it as a job; prints the job's id."""
    from hpo.spec import load
    from hpo.workers import check_workers
    from hpo.workers.ray_jobs import JobApi, places

    check_workers(load(spec), workers, "ray")
    cluster = JobApi(address)
    variables = places(storage, cluster)
    study = create_from(spec, storage, trials, accept_code=accept_code)
    # Once nothing is refused any more: what is refused is one line.
    if cluster.notice:
        print(cluster.notice, file=sys.stderr)
    options = {
        "--workers": workers,
        "--cpus-per-worker": cpus_per_worker,
        "--gpus-per-worker": gpus_per_worker,
        "--timeout": timeout,
        "--checkpoint-seconds": checkpoint_seconds,
    }
    given = {option: str(value) for option, value in options.items() if value is not None}
    arguments = [text for pair in given.items() for text in pair]
    job = cluster.submit(study, variables=variables, arguments=arguments)
    print(job)
    print(
        f"{study.name} is trained by this job of {cluster.url}. Look: hpo watch {study.name}, hpo list, or"
        f" ray job logs --address {cluster.url} {job}. End it: hpo stop {study.name}",
        file=sys.stderr,
    )


def cluster_template(
    kind: Annotated[Literal["slurm", "kubernetes", "systemd"], typer.Argument(help="What runs the workers.")],
    study: Annotated[
        str | None, typer.Option(help="The study to serve.", show_default="all of the storage")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="How many workers.")] = 4,
    cores: Annotated[int, typer.Option(min=1, help="Cores of each worker, and its threads.")] = 1,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of each worker.")] = 0,
    memory: Annotated[float, typer.Option(min=1.0, metavar="GIB", help="Memory of each worker.")] = 2.0,
    hours: Annotated[int, typer.Option(min=1, help="Of Slurm: the longest time of a job.")] = 4,
    image: Annotated[
        str | None, typer.Option(help="Of Kubernetes: the image.", show_default="hpo-studies:VERSION")
    ] = None,
) -> None:
    """Print a file by which Slurm, Kubernetes or systemd runs `hpo worker`."""
    from hpo.spec.study import check_name
    from hpo.workers.cluster_templates import Wanted
    from hpo.workers.cluster_templates import cluster_template as filled

    if study is not None:
        check_name(study, "--study")
    given = {} if image is None else {"image": image}
    wanted = Wanted(study, workers, cores, gpus, round(memory * 1024), hours, **given)
    print(filled(kind, wanted), end="")
