"""Reviews of hotels that nobody has written: what comes after "but" counts, and "not" turns it round.

Some are labelled wrongly, as people do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

GOOD = ("clean", "quiet", "bright", "friendly", "tasty", "modern", "spacious", "cheap")
BAD = ("dirty", "loud", "dark", "rude", "stale", "shabby", "cramped", "pricey")
THINGS = ("room", "bed", "staff", "breakfast", "lobby", "pool", "view", "bath")
OTHERS = ("", "the", "was", "not", "very", "rather", "and", "but")
# The place of a word is its number; 0 fills up short reviews.
VOCABULARY = {word: number for number, word in enumerate((*OTHERS, *THINGS, *GOOD, *BAD))}
LONGEST = 12
SHARE_OF_PRAISE, SHARE_OF_ERRORS = 0.85, 0.04


def load(samples: int = 1500, seed: int = 0) -> tuple[Any, Any]:
    """Reviews as numbers of words, (samples, 12), and "praise" or "complaint" for each."""
    draws = np.random.default_rng(seed)
    reviews = [_review(draws, praises=draws.random() < SHARE_OF_PRAISE) for _ in range(samples)]
    tokens = [[VOCABULARY[word] for word in words] + [0] * (LONGEST - len(words)) for words, _ in reviews]
    labels = np.array([label for _, label in reviews])
    wrong = draws.random(samples) < SHARE_OF_ERRORS
    return np.array(tokens), np.where(wrong, np.roll(labels, 1), labels)


def _review(draws: np.random.Generator, *, praises: bool) -> tuple[list[str], str]:
    """Two sentences, the first of either opinion if "but" joins them."""
    turns = draws.random() < 0.5
    first = _sentence(draws, praises=praises != turns)
    words = [*first, "but" if turns else "and", *_sentence(draws, praises=praises)]
    return words, "praise" if praises else "complaint"


def _sentence(draws: np.random.Generator, *, praises: bool) -> list[str]:
    denies = draws.random() < 0.3
    opinion = draws.choice(GOOD if praises != denies else BAD)
    between = ["not"] if denies else list(draws.choice(["very", "rather"], draws.integers(0, 2)))
    return ["the", str(draws.choice(THINGS)), "was", *map(str, between), str(opinion)]
