"""The files for clusters: each is read by what it is for, and Slurm runs its one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from hpo.workers.cluster_templates import TEMPLATES, Wanted, cluster_template
from tests import slurm
from tests.command import COLD_PYTHON, quick
from tests.tiny_studies import LONG, eventually, leases, new_studies, states, training

WANTED = [Wanted(), Wanted("My.study_1", workers=3, cores=2, gpus=1, memory_mib=4096, hours=1)]


@pytest.mark.parametrize("kind", TEMPLATES)
def test_the_command_prints_the_file_with_what_was_asked(kind, tmp_path):
    done = quick("cluster-template", kind, "--study", "s", "--workers", "7", "--memory", "3", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hpo worker s --" in done.stdout
    assert "7" in done.stdout
    assert "3072" in done.stdout
    refused = quick("cluster-template", kind, "--study", "s; rm -rf /", folder=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith("--study: must be 1 to 64 letters, digits")


@pytest.mark.parametrize("wanted", WANTED)
def test_kubernetes_takes_the_manifest(wanted):
    validate = pytest.importorskip("kubernetes_validate")
    manifest = yaml.safe_load(cluster_template("kubernetes", wanted))
    assert validate.validate(manifest, validate.latest_version(), strict=True)
    assert manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 60
    assert manifest["spec"]["completions"] == wanted.workers


@pytest.mark.parametrize("wanted", WANTED)
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_unit(wanted, tmp_path):
    unit = tmp_path / "hpo@.service"
    unit.write_text(cluster_template("systemd", wanted))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, str(unit) in done.stderr) == (0, False), done.stderr


@pytest.mark.long
@pytest.mark.skipif(not slurm.is_installed(), reason="Slurm is not installed, or this is not root")
def test_slurm_runs_the_workers_and_what_it_ends_goes_back_to_the_queue(tmp_path: Path):
    (study,) = new_studies(f"sqlite:///{tmp_path}/hpo.db", tmp_path, LONG)
    script = tmp_path / "workers.sh"
    wanted = Wanted(study.name, workers=2, memory_mib=1024, hours=1)
    script.write_text(cluster_template("slurm", wanted))
    (tmp_path / "slurm").mkdir()
    with slurm.cluster(tmp_path / "slurm") as environment:
        environment |= {
            "HPO_STORAGE": study.storage.url,
            "HPO_ARTIFACT_DIR": str(study.storage.artifacts.path),
            "PATH": f"{Path(COLD_PYTHON).parent}:{environment['PATH']}",
        }

        def command(*arguments: str) -> str:
            done = subprocess.run(
                arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
            )
            return done.stdout + done.stderr

        command("sbatch", "--test-only", str(script))
        job = command("sbatch", "--parsable", str(script)).strip()
        eventually(lambda: len(training(study)) > 0)
        # As it does when the time is over.
        command("scancel", "--batch", "--signal=TERM", job)
        eventually(lambda: not command("squeue", "-h").strip())
        assert leases(study.storage) == 0
        assert "running" not in states(study)
        command("sbatch", str(script))
        eventually(lambda: states(study) == ["complete"] * 4)
        eventually(lambda: not command("squeue", "-h").strip())
    assert {str(trial.worker).split("-")[0] for trial in study.all_trials} == {"slurm"}
