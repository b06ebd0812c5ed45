"""Names of final evaluations: those of the studies that they are of, whole where they fit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

LENGTH = 64  # of a study's name at most
# Version 0.1 cut arms' names in final evaluations to so many characters.
OLD_ARM_LENGTH = 64


def final_names(studies: Sequence[str], *, evaluation: int) -> list[str]:
    """What the final evaluation number `evaluation` of these studies may be called, the plainest first.

    The last one is of no other studies.

    >>> final_names(["digits"], evaluation=1)
    ['digits-final', 'digits-cc6b6bad-final']
    >>> final_names(["digits", "digits-tpe"], evaluation=2)[0]
    'digits-and-1-more-final-2'
    """
    others = f"-and-{len(studies) - 1}-more" if len(studies) > 1 else ""
    look = f"-{evaluation}" if evaluation > 1 else ""
    digest = hashlib.sha256("\n".join(sorted(studies)).encode()).hexdigest()[:8]
    plain, marked = f"{others}-final{look}", f"{others}-{digest}-final{look}"
    unique = studies[0][: LENGTH - len(marked)] + marked
    return [name for name in (studies[0] + plain,) if len(name) <= LENGTH] + [unique]


def arm_name(study: str, arm: str, *, several: bool) -> str:
    """An arm of a study as a final evaluation of it, or of several studies, calls it."""
    return f"{study}: {arm}" if several else arm
