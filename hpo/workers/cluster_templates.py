"""Files by which Slurm, Kubernetes and systemd run workers, to be read, changed and used."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import jinja2

from hpo.versions import __version__

FOLDER = Path(__file__).parent / "templates"
# By the name of what runs them.
TEMPLATES = {"slurm": "slurm.sh", "kubernetes": "kubernetes.yaml", "systemd": "systemd.service"}
# Of a worker of a small network: TensorFlow alone takes 0.6 GiB.
MEMORY_MIB = 2048


@dataclass(frozen=True)
class Wanted:
    """What a template is filled with. `study`: None for every study of the storage; `hours`: of Slurm."""

    study: str | None = None
    workers: int = 4
    cores: int = 1
    gpus: int = 0
    memory_mib: int = MEMORY_MIB
    hours: int = 4
    image: str = f"hpo-studies:{__version__}"


def cluster_template(kind: str, wanted: Wanted) -> str:
    """The file for `kind`, an entry of `TEMPLATES`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    # Kubernetes takes lower case, digits and dashes; a study's name may have more.
    name = re.sub(r"[^a-z0-9]+", "-", f"hpo {wanted.study or 'workers'}".lower()).strip("-")[:50].strip("-")
    return environment.get_template(TEMPLATES[kind]).render(
        name=name,
        served=f"study {wanted.study}" if wanted.study else "all studies",
        executable=shutil.which("hpo") or "/usr/local/bin/hpo",
        **vars(wanted),
    )
