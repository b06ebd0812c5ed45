"""The command line: parse, call one function, print.

Commands of one panel of `hpo --help` share a module. They import what they call when they run, so that
`hpo --help` loads no room but this one and `tables`. `output` prints tables, `progress` what is going on,
`pictures` small images; consoles are those of `tables`. All of it is private: programs use `hpo`.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from hpo.cli import cluster, dashboard, data, maintenance, models, report, results, specs, training
from hpo.errors import HpoError, WorkerError

ENVIRONMENT = (
    "Environment: HPO_STORAGE, the database's URL (sqlite:///hpo.db); HPO_ARTIFACT_DIR, the folder of what"
    " trials leave (hpo-artifacts), or s3://BUCKET/PREFIX; HPO_DATA_DIR, the folder of data sets (in the"
    " user's cache)."
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Study files": {
        "init": specs.init,
        "validate": specs.validate,
        "promote": specs.promote,
        "schema": specs.schema,
    },
    "Training": {
        "run": training.run,
        "resume": training.resume,
        "final": training.final,
        "create": training.create,
        "worker": training.worker,
        "watch": training.watch,
        "scale": training.scale,
        "stop": training.stop,
        "submit": cluster.submit,
        "cluster-template": cluster.cluster_template,
    },
    "Results": {
        "list": results.studies,
        "show": results.study,
        "trials": results.trials,
        "best": results.best,
        "compare": results.compare,
        "report": report.report,
        "export": models.export,
        "predict": models.predict,
        "dashboard": dashboard.dashboard,
        "delete": results.delete,
    },
    "Maintenance": {"doctor": maintenance.doctor, "backup": maintenance.backup},
}
for panel, commands in COMMANDS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=panel)(command)
app.add_typer(data.app, name="data", rich_help_panel="Data sets")


def _version(asked: bool) -> None:
    if asked:
        from hpo import __version__

        print(f"hpo {__version__}")
        raise typer.Exit


@app.callback(epilog=ENVIRONMENT)
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Declarative, restartable hyperparameter studies for Keras models on Optuna."""


def main() -> None:
    """The entry point of the `hpo` command."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        app(prog_name="hpo")  # also as `python -m hpo`
    except HpoError as error:
        print("\n".join(error.lines), file=sys.stderr)
        sys.exit(2)
    except WorkerError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        from hpo.storage import passes, reason

        if not passes(error):
            raise
        print(f"storage: cannot be used now: {reason(error)}. Try again", file=sys.stderr)
        sys.exit(1)
    finally:
        # Python would look for cycles among all that was imported: a second if TensorFlow is among it.
        gc.freeze()
