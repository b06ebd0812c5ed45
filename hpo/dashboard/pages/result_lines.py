"""What a study has shown, in one line. Computed beside the requests: it takes all trials of the study."""

from __future__ import annotations

from hpo.dashboard.live import SECONDS, Live
from hpo.spec import FinalSpec, SearchSpec
from hpo.storage import Storage
from hpo.studies import Study, open_study
from hpo.tables.numbers import counted, estimate, settings, with_spread

# With each verdict.
SHOWN_ARMS = 4
TEST_METRIC = "test_accuracy"


def result_line(study: Study) -> str:
    """One line about a study: the best trial of a search, the verdicts of a comparison. Empty without any."""
    if isinstance(study.spec, SearchSpec):
        return _of_search(study)
    if isinstance(study.spec, FinalSpec):
        return _of_final(study)
    return _of_comparison(study)


class ResultLines:
    """The lines of all studies, as far as they have been made."""

    def __init__(self, storage: Storage, *, seconds: float = SECONDS) -> None:
        self._storage = storage
        self._live = Live(self._make, "put in a line", seconds=seconds)

    def known(self) -> dict[str, str]:
        """The last line of every study that has one."""
        return self._live.known()

    def ask_for(self, states: dict[str, str]) -> None:
        """Have those made that it is time for, of studies in these states; of the last study first."""
        for name, state in reversed(states.items()):
            self._live.get(name, state)

    def close(self) -> None:
        """Begin no more of them."""
        self._live.close()

    def _make(self, name: str) -> str:
        return result_line(open_study(name, storage=self._storage))


def _of_search(study: Study) -> str:
    if not any(trial.value is not None for trial in study.all_trials):
        return ""
    best = study.best
    return f"Best so far: {settings(best.params)}."


def _of_comparison(study: Study) -> str:
    # SciPy and pandas take a second, which the first page need not wait for.
    from hpo.report.sentences import NO_CLAIM

    comparison = study.compare()
    if comparison.has_one_seed and any(arm.n for arm in comparison.arms):
        return NO_CLAIM
    found: dict[str, list[str]] = {}
    for arm in comparison.arms:
        verdict = arm.verdicts.get(comparison.metric)
        if verdict is None or verdict.difference is None:
            continue
        difference, _ = estimate(verdict.difference, verdict.low, verdict.high, is_ratio=verdict.is_ratio)
        found.setdefault(verdict.decision, []).append(f"{arm.arm} ({difference})")
    if not found:
        return ""
    said = "; ".join(f"{decision}: {_listed(arms)}" for decision, arms in found.items())
    return f"By {comparison.metric} against {comparison.baseline}, {said}."


def _of_final(study: Study) -> str:
    arms = [arm for arm in study.compare().arms if TEST_METRIC in arm.mean]
    said = [
        f"{arm.arm} reaches {with_spread(arm.mean[TEST_METRIC], arm.sd[TEST_METRIC])}"
        f" over {counted(arm.n, 'run')}"
        for arm in arms
    ]
    return f"{TEST_METRIC} on fresh seeds: {_listed(said)}." if said else ""


def _listed(arms: list[str]) -> str:
    more = len(arms) - SHOWN_ARMS
    return ", ".join([*arms[:SHOWN_ARMS], *([f"{more} more"] if more > 0 else [])])
