"""Jobs of a Ray cluster that train a study: they are `hpo resume` there, which starts the workers.

What a job is started with, its entrypoint, its variables and its files, everybody sees who may ask the
cluster, and Ray keeps the files in folders that every user of a machine may read. So a password is in none
of them: it is in a file of the cluster's machines, which the job names, or in what the driver of the database
reads there by itself.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import shlex
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa

from hpo.errors import HpoError
from hpo.own import copy_code
from hpo.registry import StoredStudy
from hpo.spec import StudySpec
from hpo.storage import DEFAULT_URL, place_at
from hpo.storage.engine import located, masked
from hpo.workers.engines import SHARED, need_ray

SECONDS = 5.0
PORT = 8265
PLACE = "--address"


def storage_there(given: str | None) -> str:
    """The storage as a job is told of it: a file with its URL as that was named, or a URL without a secret.

    Raises:
        HpoError: the URL has a password, which everybody would see who may look at the cluster's jobs.
    """
    given = given or os.environ.get("HPO_STORAGE") or DEFAULT_URL
    if given.startswith("@"):
        # `~` is the home folder there.
        return given if given.startswith("@~") else f"@{Path(given[1:]).resolve()}"
    if masked(given) != given:
        rule = "has a password, which all who may look at the cluster's jobs would see"
        remedy = (
            "Put the URL into a file, here and on the cluster's machines, and name that: --storage @FILE."
        )
        raise HpoError("--storage", rule, remedy=remedy)
    return given


class JobApi:
    """The job API of a Ray cluster, which has answered.

    Args:
        address: of its dashboard, http://HOST:PORT.

    Raises:
        HpoError: ray is not installed, no cluster answers there, or not to whoever asks.
    """

    def __init__(self, address: str) -> None:
        need_ray("hpo submit")
        self.url = (address if "://" in address else f"http://{address}").rstrip("/")
        parts = urlsplit(self.url)
        try:
            host, port = parts.hostname, parts.port or PORT
        except ValueError:
            host = None
        if host is None or parts.scheme not in ("http", "https"):
            raise HpoError(PLACE, "must be http://HOST:PORT, of a cluster's dashboard", got=address)
        self.is_here = _is_loopback(host)
        with self._told():
            # Ray's own client would wait for minutes for a machine that does not answer.
            socket.create_connection((host, port), timeout=SECONDS).close()
        from ray.job_submission import JobSubmissionClient

        with self._told():
            self._client = JobSubmissionClient(self.url)

    @property
    def notice(self) -> str | None:
        """What is to be known of the cluster: that anybody may send it jobs."""
        from hpo.workers.engines.ray_address import warning_about

        return warning_about(self.url)

    def submit(self, study: StoredStudy, *, variables: Mapping[str, str], arguments: Sequence[str]) -> str:
        """Let the cluster train a study that is registered; returns the job's id.

        The files of people's own that it names go with it, and are run if they have the study's digests.

        Raises:
            HpoError: the cluster does not take the job.
            ModelError: a file of a person's own is not here, or has changed.
        """
        resume = ["python", "-m", "hpo", "resume", study.name, "--engine", "ray", "--address", "auto"]
        with _code_of(study.spec) as folder, self._told():
            files = {} if folder is None else {"working_dir": str(folder)}
            submitted: str = self._client.submit_job(
                entrypoint=shlex.join([*resume, *arguments]),
                submission_id=f"hpo-{study.name}-{secrets.token_hex(4)}",
                runtime_env={"env_vars": dict(variables), **files},
                metadata={"study": study.name},
            )
        return submitted

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong between here and the cluster, in a line."""
        from ray.exceptions import RayError

        place = f"{PLACE} {self.url}"
        try:
            yield
        except HpoError:
            raise
        # Of an address at which something else answers it is the JSON that is wrong.
        except (OSError, RuntimeError, ValueError, KeyError, RayError) as error:
            if isinstance(error, OSError):
                remedy = f"It is the dashboard's, whose port is {PORT} unless another one was asked for."
                raise HpoError(place, "no Ray's job API listens there", remedy=remedy) from None
            said = str(error).strip().splitlines()[0].rstrip(".")
            raise HpoError(place, f"does not take the job: {said}") from None


def places(given: str | None, cluster: JobApi) -> dict[str, str]:
    """The variables by which a job finds the storage and the artifacts.

    Raises:
        HpoError: they are this machine's alone, or hold a secret.
    """
    told, (there, place) = storage_there(given), located(given)
    is_file = there.startswith("sqlite")
    if not cluster.is_here:
        if is_file:
            rule = f"is a file of this machine, and workers run at {cluster.url}"
            raise HpoError(place, rule, remedy=SHARED)
        if not os.environ.get("HPO_ARTIFACT_DIR"):
            rule = "must be set: a folder that the cluster's machines share, or s3://BUCKET/PREFIX"
            raise HpoError("HPO_ARTIFACT_DIR", rule)
    if is_file and not told.startswith("@"):
        # The job runs in another folder.
        file = Path(str(sa.make_url(told).database)).resolve()
        told = sa.URL.create("sqlite", database=str(file)).render_as_string()
    return {"HPO_STORAGE": told, "HPO_ARTIFACT_DIR": place_at(None).given}


@contextlib.contextmanager
def _code_of(spec: StudySpec) -> Iterator[Path | None]:
    """A folder with the files of people's own that a study names; None if it names none."""
    if not spec.own_code:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="hpo-job-") as folder:
        copy_code(spec.own_code.values(), Path(folder))
        yield Path(folder)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
