#!/bin/bash
# Workers of {{ served }} on a Slurm cluster: sbatch THIS_FILE. More of them later: sbatch it again.
#SBATCH --job-name={{ name }}
#SBATCH --array=1-{{ workers }}
#SBATCH --cpus-per-task={{ cores }}
#SBATCH --mem={{ memory_mib }}M
{%- if gpus %}
#SBATCH --gres=gpu:{{ gpus }}
{%- endif %}
#SBATCH --time={{ hours }}:00:00
# A minute before the time is over, or when the job is preempted, the worker hears of it: it saves where its
# trial is and puts it back into the queue. A job that was preempted is queued anew.
#SBATCH --signal=B:TERM@60
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={{ name }}-%A_%a.log
set -euo pipefail

# Where hpo is installed, if it is not found otherwise:
# source "$HOME/venv/bin/activate"

# A file that only you can read holds the database's URL, postgresql+psycopg://user:password@host/database.
# All nodes must reach the database, this file, the data and the folder of artifacts.
export HPO_STORAGE="${HPO_STORAGE:-@$HOME/.hpo-storage}"
export HPO_ARTIFACT_DIR="${HPO_ARTIFACT_DIR:-$PWD/hpo-artifacts}"

# exec: the signal must reach the worker, and not a shell that waits for it.
exec hpo worker {% if study %}{{ study }} {% endif %}--exit-when-idle --threads {{ cores }} \
    --name "slurm-${SLURM_ARRAY_JOB_ID}-${SLURM_ARRAY_TASK_ID}-${SLURM_RESTART_COUNT:-0}"
