"""Parcels: an image of the zone that somebody has written on each, its weight and size, and what it costs."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_digits


def load(seed: int = 0) -> tuple[dict[str, Any], Any]:
    """Two inputs, "zone" (samples, 8, 8, 1) and "size" (samples, 4), and prices, (samples,)."""
    images, zones = load_digits(return_X_y=True)
    draws = np.random.default_rng(seed)
    weight, edges = draws.uniform(0.1, 10, len(zones)), draws.uniform(10, 100, (len(zones), 3))
    volume = edges.prod(axis=1) / 1000
    price = 4 + 0.8 * zones + (0.5 + 0.1 * zones) * weight + 0.01 * volume + draws.normal(0, 0.3, len(zones))
    size = np.column_stack([weight / 10, edges / 100])
    return {"zone": images.reshape(-1, 8, 8, 1) / 16, "size": size}, price
