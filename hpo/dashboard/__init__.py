"""optuna-dashboard as a service: its own application behind a guard, on studies that open at once.

A request passes through, in this order:

1. `guard`: Host, the page that asks (Origin), the token (`tokens`), the method; of a change also its path and
   its body (`mutations`).
2. `response_cache`: clients that poll at the same time share one answer, compressed once.
3. `validation`: paths and queries that optuna-dashboard would answer with an internal error.
4. `mutations`, only with --read-write: a study is deleted as by `hpo delete`.
5. `artifacts` and `csv_tables`: what is downloaded runs nothing.
6. `study_details`: one study with its trials, whose JSON is made once, and with its summary
   (`live_summaries`, by `notes` unless a person has written the note).
7. optuna-dashboard itself, on a storage whose trials show their attributes in order (`trial_attributes`).

`server` puts these together and listens, `selfcheck` asks a server for every route. `publishing` writes a
study's summary into the database, where the plain optuna-dashboard shows it too; `notes` alone knows whose a
note is.

Only `cli` imports this room, which may import every other one. What optuna-dashboard keeps private is asked
for in `upstream` alone. Beside the names below and `publishing.publish` nothing is for others.
"""

from hpo.dashboard.selfcheck import Checked, check
from hpo.dashboard.server import HOST, PORT, Settings, serve

__all__ = ["HOST", "PORT", "Checked", "Settings", "check", "serve"]
