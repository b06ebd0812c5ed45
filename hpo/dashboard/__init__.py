"""The dashboard: pages of our own in front of optuna-dashboard, both behind a guard, on studies of now.

A request passes through, in this order:

1. `guard`: Host, the page that asks (Origin), the token (`tokens`), the method; of a change also its path and
   its body (`mutations`).
2. `response_cache`: clients that ask at the same time share one answer, compressed once.
3. `pages`: all studies at `/`, their live reports, several side by side.
4. `validation`: paths and queries that optuna-dashboard would answer with an internal error.
5. `mutations`, only with --read-write: a study is deleted as by `hpo delete`.
6. `root_path`: optuna-dashboard's pages and script name their paths below that of a reverse proxy, and lead
   to ours.
7. `artifacts` and `csv_tables`: what is downloaded runs nothing.
8. `study_details`: one study with its trials, whose JSON is made once, and with its summary
   (`live_summaries`, by `notes` unless a person has written the note).
9. optuna-dashboard itself, on a storage whose trials show their attributes in order (`trial_attributes`), and
   those of comparisons their arms as parameters (`arm_parameters`).

`server` puts these together and listens, `selfcheck` asks a server for every route. What takes all trials of
a study is computed beside the requests (`live`). `publishing` writes a study's summary into the database,
where the plain optuna-dashboard shows it too; `notes` alone knows whose a note is.

Only `cli` imports this room, which may import every other one. What optuna-dashboard keeps private is asked
for in `upstream` alone, and what its script looks like in `root_path`. Beside the names below and
`publishing.publish` nothing is for others.
"""

from hpo.dashboard.selfcheck import Checked, check
from hpo.dashboard.server import HOST, PORT, Settings, serve

__all__ = ["HOST", "PORT", "Checked", "Settings", "check", "serve"]
