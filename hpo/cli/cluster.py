"""Commands for clusters: a file by which one of them runs workers."""

from __future__ import annotations

from typing import Annotated, Literal

import typer


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
