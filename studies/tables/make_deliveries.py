"""Writes deliveries.csv: invented deliveries, with what makes tables of people's own hard.

python studies/tables/make_deliveries.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

ROWS, DRIVERS = 2_000, 40
TOWNS = (
    "Bremen",
    "Bonn",
    "Dresden",
    "Erfurt",
    "Essen",
    "Jena",
    "Kassel",
    "Kiel",
    "Köln",
    "Mainz",
    "Ulm",
    "Worms",
)
KINDS = ("parcel", "letter", "pallet")


def main() -> None:
    """Write the file beside this one."""
    random = np.random.default_rng(7)
    driver = random.integers(0, DRIVERS, ROWS)
    pace = random.normal(1.0, 0.12, DRIVERS)[driver]
    ordered = pd.Timestamp("2025-01-06 07:00") + pd.to_timedelta(
        np.sort(random.uniform(0, 300, ROWS)), unit="D"
    )
    distance = random.gamma(2.0, 6.0, ROWS)
    weight = np.exp(random.normal(1.0, 1.0, ROWS))
    town = random.choice(
        len(TOWNS), ROWS, p=np.linspace(2, 0.1, len(TOWNS)) / np.linspace(2, 0.1, len(TOWNS)).sum()
    )
    traffic = random.normal(0, 4, len(TOWNS))[town]
    kind = random.choice(len(KINDS), ROWS, p=[0.7, 0.2, 0.1])
    rush = 6 * np.exp(-(((ordered.hour - 8) % 24) ** 2) / 8) + 3 * (ordered.day_of_week == 4)
    minutes = pace * (12 + 1.9 * distance + traffic + rush + 9 * (kind == 2)) + random.normal(0, 4, ROWS)
    frame = pd.DataFrame(
        {
            "ordered": ordered.strftime("%Y-%m-%d %H:%M"),
            "driver": [f"D{number:02}" for number in driver],
            "town": np.array(TOWNS)[town],
            "kind": np.array(KINDS)[kind],
            "distance_km": distance.round(1),
            "weight_kg": np.where(random.random(ROWS) < 0.12, np.nan, weight.round(2)),
            "express": np.where(random.random(ROWS) < 0.3, "yes", "no"),
            "minutes": np.asarray(minutes).clip(5).round(),
        }
    )
    allowed = np.where(frame["express"] == "yes", 40, 55)
    frame["late"] = np.where(frame["minutes"] > allowed, "yes", "no")
    frame.to_csv(Path(__file__).with_name("deliveries.csv"), index=False)


if __name__ == "__main__":
    main()
