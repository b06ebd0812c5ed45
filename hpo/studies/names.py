"""Names of studies that are made of others: those of the others, whole where they fit."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Collection, Iterator, Sequence

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
    digest = _digest(studies)
    plain, marked = f"{others}-final{look}", f"{others}-{digest}-final{look}"
    unique = studies[0][: LENGTH - len(marked)] + marked
    return [name for name in (studies[0] + plain,) if len(name) <= LENGTH] + [unique]


def promoted_name(study: str, count: int) -> str:
    """What a comparison of the best of a search is called; of a long name, with its digest.

    >>> promoted_name("digits", 3), len(promoted_name("d" * 64, 3))
    ('digits-top-3', 64)
    """
    end = f"-top-{count}"
    if len(study) + len(end) <= LENGTH:
        return study + end
    marked = f"-{_digest([study])}{end}"
    return study[: LENGTH - len(marked)] + marked


def numbered_names(study: str, there: Collection[str]) -> Iterator[str]:
    """What a study may be called that goes on from another one's: its name, then that with a number.

    >>> names = numbered_names("digits-2", there=["digits", "digits-2"])
    >>> next(names), next(names), next(names)
    ('digits-2', 'digits-2', 'digits-3')
    """
    yield study
    numbered = re.fullmatch(r"(.+)-[0-9]+", study)
    base = numbered[1] if numbered is not None and numbered[1] in there else study
    for number in itertools.count(2):
        end = f"-{number}"
        yield base[: LENGTH - len(end)] + end


def arm_name(study: str, arm: str, *, several: bool) -> str:
    """An arm of a study as a final evaluation of it, or of several studies, calls it."""
    return f"{study}: {arm}" if several else arm


def _digest(studies: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sorted(studies)).encode()).hexdigest()[:8]
