"""How often something is asked or told that may wait: the rarer, the longer it has gone on."""

from __future__ import annotations

import time

# Of the time that has passed: what is a fifth of it late is not late.
SHARE = 0.2


class Pace:
    """Seconds to wait: a share of those since the begin, but at least `first` and at most `longest`.

    One worker may ask every moment; of ten thousand, each that waits or trains for long asks seldom.

    >>> Pace(0.5, 5.0).seconds
    0.5
    """

    def __init__(self, first: float, longest: float, *, share: float = SHARE) -> None:
        self._first, self._longest, self._share = first, longest, share
        self.begin()

    def begin(self) -> None:
        """Count from now."""
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long to wait now."""
        passed = time.monotonic() - self._begun
        return min(self._longest, max(self._first, self._share * passed))
