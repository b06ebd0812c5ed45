"""Makes `0.2.zip` and `0.2.json`: studies of tables and of own models, as hpo stored them before 0.2.

Run in an empty folder with that version on the path (commit d19eb2d): `python -m tests.stored.make_0_2`.
Beside the database there are the files that the studies were made of: somebody has moved all of it.
"""

from __future__ import annotations

import csv
import json
import random
import shutil
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

from tests.stored.make_0_1 import hpo, said

MODEL = '''"""A model of somebody's own."""

import keras


def build(units, learning_rate, input_shape, outputs):
    model = keras.Sequential(
        [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(units, activation="relu")]
        + [keras.layers.Dropout(0.1), keras.layers.Dense(outputs, activation="softmax")]
    )
    optimizer, loss = keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model
'''
PARAMS = "[params]\nhidden_units = [8]\nepochs = 3\n"
ARMS = '[[arms]]\nname = "plain"\n[[arms]]\nname = "fast"\nlearning_rate = 0.1\n'
STUDIES = {
    "table": 'name = "table"\nkind = "comparison"\nseeds = 2\n'
    + 'objective = { metric = "val_loss", at = "best" }\n'
    + 'data = { name = "rows.csv", target = "late", weight = "times", test = 0.2 }\n'
    + PARAMS
    + 'scaling = "robust"\n'
    + ARMS,
    "minutes": 'name = "minutes"\nkind = "comparison"\nseeds = 2\n'
    + 'data = { name = "rows.csv", target = "minutes", drop = ["late", "times"], group = "driver" }\n'
    + 'objective = { metric = "val_rmse" }\n'
    + PARAMS
    + ARMS,
    "mine": 'name = "mine"\nkind = "search"\nmodel = { file = "model.py", function = "build" }\n'
    + 'data = { name = "digits", folds = 2 }\nsampler = { name = "grid" }\n'
    + '[params]\nepochs = 2\nclass_weight = "balanced"\n'
    + "[space]\nlearning_rate = [0.01, 0.1]\nunits = [4, 8]\n",
}
FILES = ("hpo.db", "rows.csv", "model.py", *(f"{name}.toml" for name in STUDIES))


def main() -> None:
    draws = random.Random(0)
    with Path("rows.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["km", "weather", "driver", "times", "late", "minutes"])
        for row in range(120):
            km, weather = round(draws.uniform(1, 20), 1), draws.choice(["sun", "rain", "snow"])
            minutes = round(3 * km + 10 * (weather == "snow") + draws.uniform(0, 5), 1)
            table.writerow(
                [km, weather, f"d{row % 6}", 1 + row % 3, "yes" if minutes > 40 else "no", minutes]
            )
    Path("model.py").write_text(MODEL)
    for name, text in STUDIES.items():
        Path(f"{name}.toml").write_text(text)
    hpo("run", "table.toml", "--workers", "1")
    hpo("run", "minutes.toml", "--workers", "1")
    hpo("final", "table", "--seeds", "2", "--workers", "1")
    hpo("create", "mine.toml")
    hpo("worker", "mine", "--max-trials", "2")
    shutil.copytree(".", "copy")
    expected: dict[str, object] = {
        "list": json.loads(hpo("list", "--format", "json")),
        "studies": said(".", *STUDIES, "table-final"),
    }
    hpo("run", "mine.toml", "--workers", "1", folder="copy")
    expected["resumed"] = said("copy", "mine")
    Path("0.2.json").write_text(json.dumps(expected, indent=1))
    with closing(sqlite3.connect("hpo.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("VACUUM")
    with zipfile.ZipFile("0.2.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in [*map(Path, FILES), *sorted(Path("hpo-artifacts").iterdir())]:
            if path.is_file():
                archive.write(path)


if __name__ == "__main__":
    main()
