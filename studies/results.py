"""The student report, done again: train all its studies, judge its conclusions, write RESULTS.md.

    python studies/results.py [--storage URL] [--workers N]

Trains what is missing of the eight studies in this folder, evaluates the best of MNIST and of the random
search on the test set, and writes what the database then holds beside the report's own figures. Run it again
and nothing is trained twice.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hpo import Comparison, Study, Trial, compare_studies, create_study
from hpo.analysis import Verdict, compare
from hpo.spec import FinalSpec
from hpo.studies.final import FinalSummary, create_final, summarise_final
from hpo.tables.numbers import number, p_value, with_interval, with_spread

FOLDER = Path(__file__).parent
OPPOSITE = {"better": "worse", "worse": "better"}
STORAGE = "sqlite:///results.db"
RANKED = ("val_accuracy", "val_loss", "train_seconds")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--storage", default=os.environ.get("HPO_STORAGE") or STORAGE)
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    reference = tomllib.loads((FOLDER / "reference" / "figures.toml").read_text())["studies"]
    studies = [create_study(FOLDER / f"{one['name']}.toml", storage=options.storage) for one in reference]
    for study in studies:
        study.run(workers=options.workers)
    mnist = [study for study in studies if study.name.startswith("mnist")]
    finals = [create_final(mnist), create_final([studies[-1]])]
    for final in finals:
        final.run(workers=options.workers)
    path = FOLDER / "RESULTS.md"
    path.write_text("\n".join(_page(reference, studies, mnist, finals)) + "\n")
    print(f"Wrote {path}.")


def _page(
    reference: Sequence[dict[str, Any]], studies: Sequence[Study], mnist: Sequence[Study], finals: list[Study]
) -> Iterator[str]:
    yield "# The student report, done again"
    yield ""
    yield "Written by `python studies/results.py`; every figure of ours is computed from the stored trials."
    yield f"Machine: {_machine()}."
    yield ""
    yield "A ± is a standard deviation over seeds, *n* the number of training runs. Verdicts are of paired"
    yield "tests over seeds at level 0.05, adjusted over the arms of a study (Holm); *equivalent* is a"
    yield "difference smaller than what matters (0.005 of a share, 0.01 of a loss, a tenth of a time). The"
    yield "report's figures, in parentheses, are of one run each. Intervals are of 95 %."
    yield from _times(reference, studies)
    for one, study in zip(reference, studies, strict=True):
        yield from _section(one, study)
    yield from _ranking(mnist)
    for final in finals:
        yield from _final(final)


def _times(reference: Sequence[dict[str, Any]], studies: Sequence[Study]) -> Iterator[str]:
    yield from ("", "## Time", "")
    yield "Seconds of one worker, which has one core: of one seed, as the report ran it, from claiming a"
    yield "trial to recording its result, compiling included; and of training alone, summed over all runs."
    yield ""
    rows, total = [], 0.0
    reported: set[tuple[str, float]] = set()
    for one, study in zip(reference, studies, strict=True):
        theirs = [arm["train_seconds"] for arm in one.get("arms", {}).values() if "train_seconds" in arm]
        trials = study.all_trials
        seconds = _seconds_of_one_seed(trials)
        total += seconds
        reported.update((name, arm.get("train_seconds", 0.0)) for name, arm in one.get("arms", {}).items())
        trained = sum(run.get("train_seconds", 0.0) for trial in trials for run in trial.replicates)
        runs = sum(len(trial.replicates) for trial in trials)
        rows.append(
            [study.name, f"{sum(theirs):.0f}" if theirs else "-", f"{seconds:.0f}", runs, f"{trained:.0f}"]
        )
    hours = sum(seconds for _, seconds in reported) / 3600
    rows.append(["all", "", f"{total:.0f}", "", ""])
    head = ["study", "the report, training", "one seed", "runs in all", "training in all"]
    yield from _table(head, rows)
    yield ""
    yield f"All eight studies at one seed took a worker {total / 60:.0f} minutes. The report's runs of the"
    yield f"first three alone took {hours:.1f} hours, each counted once."


def _seconds_of_one_seed(trials: Sequence[Trial]) -> float:
    """From claim to result of every trial of the first seed, summed over the workers."""
    ends = [(t.started, t.finished) for t in trials if t.seed in (0, None)]
    return sum((end - begin).total_seconds() for begin, end in ends if begin is not None and end is not None)


def _section(one: dict[str, Any], study: Study) -> Iterator[str]:
    yield from (
        "",
        f"## {one['section']} {one['title']}",
        "",
        f"Study `{study.name}`. {study.spec.description}",
    )
    if note := one.get("note"):
        yield note
    yield ""
    comparison = study.compare()
    if best := one.get("best"):
        yield from _search(best, study)
        return
    yield from _side_by_side(one["arms"], comparison)
    yield from ("", "| the report's conclusion | verdict | |", "|---|---|---|")
    for claim in one["claims"]:
        yield _claim(claim, study)
    for remark in comparison.notes:
        yield from ("", remark)


def _side_by_side(theirs: dict[str, dict[str, float]], comparison: Comparison) -> Iterator[str]:
    metrics = [m for m in comparison.metrics if any(m in arm for arm in theirs.values())]
    # The best epoch beside the last, where a study shows it.
    more = (*RANKED, *(m for m in comparison.metrics if m.startswith("best_")))
    metrics += [m for m in more if m not in metrics]
    head = ["arm", "differs in", "n", *metrics]
    rows = []
    for arm in comparison.arms:
        row: list[Any] = [
            arm.arm,
            ", ".join(f"{k} {number(v) or 'none'}" for k, v in arm.differs.items()),
            arm.n,
        ]
        for metric in metrics:
            ours = with_spread(arm.mean.get(metric), arm.sd.get(metric)) or "-"
            report = theirs.get(arm.arm, {}).get(metric)
            row.append(ours if report is None else f"{ours} ({number(report)})")
        rows.append(row)
    yield from _table(head, rows)


def _claim(claim: dict[str, Any], study: Study) -> str:
    spec = study.spec.model_copy(update={"baseline": claim["against"]})
    judged = compare((spec, study.all_trials))
    (arm,) = [arm for arm in judged.arms if arm.arm == claim["arm"]]
    verdict = arm.verdicts[claim["metric"]]
    outcome = {
        claim["says"]: "**confirmed**",
        OPPOSITE[claim["says"]]: "**the opposite is the case**",
        "equivalent": "**no difference that matters**",
        "undecided": "**not shown**",
    }[verdict.decision]
    against = f"{claim['arm']} against {claim['against']}, {claim['metric']}"
    return f"| {claim['text']} | {outcome} | {against}: {_sentence(verdict)} |"


def _sentence(verdict: Verdict) -> str:
    if verdict.low is None:
        return str(verdict)
    shown = with_interval(verdict.difference, verdict.low, verdict.high, is_ratio=verdict.is_ratio)
    return f"{verdict}; {shown}, p {p_value(verdict.p_adjusted)}, {verdict.pairs} pairs"


def _search(best: dict[str, Any], study: Study) -> Iterator[str]:
    counts = study.summary.counts
    states = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    yield f"{study.spec.planned} trials of {study.spec.replicates} folds: {states}. Configurations that were"
    yield "trained to the end, by the mean over folds of the best epoch's accuracy:"
    yield ""
    complete = sorted(
        (trial for trial in study.all_trials if trial.value is not None),
        key=lambda trial: -(trial.value or 0),
    )
    names = list(complete[0].params)
    rows = []
    for trial in complete:
        folds = [run["val_accuracy"] for run in trial.replicates]
        best_epoch = with_spread(statistics.fmean(folds), statistics.stdev(folds))
        row = [f"#{trial.number}", *(trial.params[name] for name in names), best_epoch]
        rows.append([*row, trial.metrics["val_loss"], trial.metrics["best_epoch"], trial.reported[-1]])
    head = [
        "trial",
        *names,
        "val_accuracy, best epoch",
        "its val_loss",
        "its number",
        "val_accuracy, last epoch",
    ]
    yield from _table(head, rows)
    theirs = {name: best[name] for name in names}
    same = next((trial for trial in complete if trial.params == theirs), None)
    yield ""
    if same is None:
        yield f"The report's best, {number(theirs)}, was pruned here."
    else:
        found = f"{number(theirs)} with {best['val_accuracy']}"
        yield f"The report's best, {found}, is number {complete.index(same) + 1} here, #{same.number}."
    yield "That it is the highest of 27 is partly luck: what it is worth is measured below, on fresh seeds."


def _ranking(studies: Sequence[Study]) -> Iterator[str]:
    comparison = compare_studies(studies)
    yield from ("", "## 1.7 Choosing the best model of MNIST", "")
    baseline = f"{comparison.baseline} of `{comparison.baseline_study}`"
    yield f"All arms of 1.4 to 1.6 in one ranking by {comparison.metric}; verdicts are against {baseline}."
    yield ""
    rows = []
    for arm in comparison.arms:
        figures = [with_spread(arm.mean.get(metric), arm.sd.get(metric)) for metric in RANKED]
        verdict = arm.verdicts.get(comparison.metric)
        rows.append(
            [arm.arm, arm.study, arm.n, *figures, "(baseline)" if verdict is None else _sentence(verdict)]
        )
    yield from _table(["arm", "study", "n", *RANKED, f"verdict on {comparison.metric}"], rows)


def _final(final: Study) -> Iterator[str]:
    assert isinstance(final.spec, FinalSpec)
    summary: FinalSummary = summarise_final(final)
    yield from (
        "",
        f"## On the test set: the best of {', '.join(f'`{name}`' for name in summary.sources)}",
        "",
    )
    seeds = final.spec.seed_range
    yield f"Trained again with seeds {seeds.start} to {seeds.stop - 1}, which chose nothing, and evaluated on"
    yield f"the test set; this is look {summary.evaluation} at it. The gap is validation minus test, its"
    yield "interval over seeds."
    yield ""
    rows = [
        [
            arm.arm,
            metric,
            arm.n,
            gap.selected,
            gap.validation,
            gap.test,
            with_interval(gap.gap, gap.low, gap.high),
        ]
        for arm in summary.arms
        for metric, gap in arm.gaps.items()
    ]
    yield from _table(["arm", "metric", "n", "chosen by", "validation", "test", "gap"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join((number(value) or '-').replace('|', '/') for value in row)} |"


def _machine() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
    cpu = names[0] if names else platform.processor()
    packages = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "optuna"))
    return f"{os.cpu_count()} cores of {cpu}, no GPU; Python {platform.python_version()}, {packages}"


if __name__ == "__main__":
    main()
