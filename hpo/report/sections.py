"""The parts of a report on one study: what was asked, what arms reached, how it was done."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpo import plots
from hpo.analysis import Comparison
from hpo.analysis.tables import arms_table, verdicts_table
from hpo.registry import shown
from hpo.report.document import Block, Bullets, Code, Heading, Paragraph, Picture, tables
from hpo.report.sentences import conclusions, margin
from hpo.spec import ComparisonSpec, StudySpec, directions, metric_of
from hpo.studies import Study
from hpo.tables import Column, Table
from hpo.tables.kinds import PROSE
from hpo.tables.numbers import counted, level, number
from hpo.trials import CURVES_FILE
from hpo.trials.record import STATES, Trial
from hpo.versions import versions

ASKED = (Column("what"), Column("value", PROSE))
SHOWN_MISSING = 10
SMALL_METRICS = 2  # whose differences fit into a graph of optuna-dashboard
MOST_RUNS = 10**6  # of a trial
HOW = {"random": "at random", "group": "by groups", "time": "in order of time"}


@dataclass(frozen=True)
class Subject:
    """A study with what a report reads of it, each read once."""

    study: Study
    comparison: Comparison
    spec: StudySpec = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "spec", self.study.spec)

    @cached_property
    def trials(self) -> list[Trial]:
        """Every trial, by number."""
        return self.study.all_trials

    @cached_property
    def looks(self) -> dict[str, plots.Style]:
        """Each arm's style, by its place in the specification."""
        arms = self.spec.arms if isinstance(self.spec, ComparisonSpec) else ()
        return plots.styles(arm.name for arm in arms)


def asked(spec: StudySpec) -> list[Block]:
    """Data, split, and what the study trains."""
    rows = [
        ("data", f"{data_name(spec)}; {_split(spec)}, split seed {spec.data.seed}"),
        ("model", "" if isinstance(spec.model, str) else str(spec.model)),
        ("learned", f"{spec.learned.name}{_targets(spec)}"),
        _judged(spec),
        *((key, str(code)) for key, code in spec.own_code.items() if key not in ("model", "data")),
        *_what(spec),
        ("the same in all", ", ".join(f"{key} {number(value)}" for key, value in spec.params.items())),
    ]
    return [
        Heading("What was asked"),
        Table("What was asked", ASKED, [{"what": key, "value": value} for key, value in rows if value]),
    ]


def _judged(spec: StudySpec) -> tuple[str, str]:
    """What trials are ranked by, or the objectives that none is given up for."""
    if len(spec.judged_by) == 1:
        return "ranked by", f"{spec.objective.metric}, {_extreme(spec)} first, {_moment(spec)}"
    named = [
        f"{one.metric}, {'highest' if one.direction == 'maximize' else 'lowest'}" for one in spec.judged_by
    ]
    return "objectives", f"{'; '.join(named)}; none is given up for another"


def _split(spec: StudySpec) -> str:
    """`5 folds, stratified`."""
    data, has_classes = spec.data, spec.learned.strata(np.zeros(0, np.int64)) is not None
    parts = f"{data.folds} folds" if data.folds else f"{100 * (data.validation or 0):g} % for validation"
    drawn = f"{parts}, drawn {data.repeats} times" if data.repeats > 1 else parts
    how = data.split_by_column or data.split or ("stratified" if has_classes else "random")
    return f"{drawn}, {HOW.get(how, how)}"


def _targets(spec: StudySpec) -> str:
    return f": {', '.join(spec.data.target)}" if spec.data.target else ""


def data_name(spec: StudySpec) -> str:
    """The name of a study's data; of a file, without the folders that lead to it on this machine."""
    return Path(spec.data.name).name


def results(subject: Subject) -> list[Block]:
    """What every arm of a comparison reached, the verdicts on it, and what must be known beside."""
    comparison = subject.comparison
    blocks: list[Block] = [Heading("Conclusions")]
    if said := conclusions(comparison, folds=subject.spec.data.folds):
        blocks.append(Bullets(tuple(said)))
    else:
        blocks.append(Paragraph("There is nothing to conclude: no arm is judged against another."))
    first = (
        f"{_extreme(subject.spec).capitalize()} mean {comparison.ranked_by} first; mean ± standard deviation."
    )
    blocks += [Heading("Results"), Paragraph(first), *tables(arms_table(comparison))]
    verdicts = verdicts_table(comparison)
    if any(row["pairs"] for row in verdicts.rows) and not comparison.has_one_seed:
        blocks += [Heading(f"Differences to {comparison.baseline}"), verdicts]
    return blocks + notes(comparison)


def notes(comparison: Comparison) -> list[Block]:
    """What must be known beside the figures."""
    return [Bullets(comparison.notes)] if comparison.notes else []


def comparison_pictures(subject: Subject) -> list[Block]:
    """Differences, time against the metric, and learning curves of a comparison's arms."""
    comparison, spec = subject.comparison, subject.spec
    blocks: list[Block] = []
    if not any(trial.state == "complete" for trial in subject.trials):
        return [Paragraph("There are no pictures: they are of complete trials, and there is none yet.")]
    blocks.append(Heading("Pictures"))
    if any(verdict.low is not None for arm in comparison.arms for verdict in arm.verdicts.values()):
        caption = (
            f"Difference to {comparison.baseline} with its {level(comparison.alpha)} interval; of seconds,"
            " the ratio. Grey: differences too small to matter. Hollow: undecided."
        )
        figure = plots.differences(comparison, subject.looks)
        small = plots.differences(comparison, subject.looks, most=SMALL_METRICS)
        blocks.append(Picture(figure, caption, "hpo-differences", small, name="differences"))
    is_of_run = spec.metric(comparison.metric).is_of_run
    metric = comparison.metric if not is_of_run else spec.learned.objective
    if found := _results(subject.trials, metric):
        caption = f"Seconds of training against {metric}: a point a run, a diamond the mean of an arm."
        figure = plots.times(found, metric, subject.looks)
        blocks.append(Picture(figure, caption, "hpo-times", name="times"))
    complete = {t.number: t.arm for t in subject.trials if t.state == "complete" and t.arm in subject.looks}
    over = "seeds and folds" if spec.data.folds else "seeds"
    caption = (
        f"Learning curves: mean over {over}, band of one standard deviation to either side; dotted where some"
        " runs have stopped."
    )
    return blocks + curves_pictures(subject, complete, subject.looks, caption)


def curves_pictures(
    subject: Subject, arms: dict[int, Any], looks: dict[str, plots.Style], caption: str
) -> list[Block]:
    """The learning curves of trials, which are given with their arms; and which of them are missing."""
    if not arms:
        return []
    curves, missing = read_curves(subject.study, arms)
    blocks: list[Block] = []
    if len(curves):
        blocks.append(Picture(plots.learning_curves(curves, looks), caption, "hpo-curves", name="curves"))
    if missing:
        shown = ", ".join(f"#{n}" for n in missing[:SHOWN_MISSING])
        more = f" and {len(missing) - SHOWN_MISSING} more" if len(missing) > SHOWN_MISSING else ""
        blocks.append(Paragraph(f"The artifact folder has no learning curves of {shown}{more}."))
    return blocks


def read_curves(study: Study, arms: dict[int, Any]) -> tuple[pd.DataFrame, list[int]]:
    """Learning curves of trials by number: arm, run, epoch, its metrics; and the numbers that have none."""
    frames, missing = [], []
    for frozen in study.frozen_trials:
        if frozen.number not in arms:
            continue
        found = study.storage.artifact(frozen, CURVES_FILE)
        try:
            if found is None:
                raise FileNotFoundError
            frame = pd.read_csv(io.BytesIO(study.storage.artifacts.read(found)))
            # Each run of a trial counts its epochs from 1.
            run = (frame["epoch"] == 1).cumsum() + MOST_RUNS * frozen.number
            reported = [name for name in frame.columns if name not in ("seed", "fold")]
            frames.append(frame[reported].assign(arm=arms[frozen.number], run=run))
        except (OSError, ValueError, KeyError):
            missing.append(frozen.number)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(), missing


def method(subject: Subject) -> list[Block]:
    """Counts, machine time, versions, and how verdicts are found."""
    trials, comparison = subject.trials, subject.comparison
    states = Counter(trial.state for trial in trials)
    counts = ", ".join(f"{states[state]} {state}" for state in STATES.values() if states[state])
    runs = [run for trial in trials for run in trial.replicates]
    trained = sum(run.get("train_seconds", 0.0) for run in runs)
    compiled = sum(trial.metrics.get("compile_seconds", 0.0) for trial in trials)
    lines = [f"{counted(len(trials), 'trial')}: {counts or 'none'}."]
    if runs:
        lines.append(
            f"{_seconds(trained)} of training and {_seconds(compiled)} of compiling, over all workers."
        )
    if any(arm.verdicts for arm in comparison.arms):
        lines.append(_tests(comparison))
    mine, *others = (f"{name} {version}" for name, version in versions().items())
    lines.append(f"Reported by {mine} with {', '.join(others)}, as installed where this was written.")
    if apart := [trial for trial in trials if trial.other_versions]:
        made = sorted({f"{k} {v}" for trial in apart for k, v in (trial.other_versions or {}).items()})
        lines.append(
            f"Trained by other versions than the study was made with, {', '.join(made)}: {len(apart)}."
        )
    return [Heading("How it was done"), Bullets(tuple(lines)), *code_of(subject.study)]


def code_of(study: Study) -> list[Block]:
    """The text of each file of a person's own, as it was when the study was made."""
    kept, found = study.kept_code, dict[str, str]()
    for key, code in study.spec.own_code.items():
        if key in kept:
            found[f"{Path(code.file).name}, SHA-256 {(code.digest or '')[:12]}"] = kept[key]
    found |= {f"{key}, beside it": text for key, text in kept.items() if key not in study.spec.own_code}
    return [Code(title, shown(text).strip("\n")) for title, text in found.items()]


def _tests(comparison: Comparison) -> str:
    metrics = [m for m in comparison.metrics if m in comparison.min_effect]
    ratios = {m for m in metrics if metric_of(m, comparison).is_ratio}
    effects = ", ".join(f"{m} {margin(m, comparison, is_ratio=m in ratios)}" for m in metrics)
    return (
        f"Verdicts at alpha = {comparison.alpha:g}: runs of one seed and split are paired; paired t-tests for"
        " a difference, two one-sided tests for equivalence, p adjusted over the arms by Holm's method;"
        " intervals are those of each arm alone, so one may leave out zero where the verdict is undecided."
        f" The smallest differences that matter: {effects}."
    )


def _results(trials: Sequence[Trial], metric: str) -> list[plots.Result]:
    return [
        plots.Result(trial.arm, run["train_seconds"], run[metric])
        for trial in trials
        if trial.state == "complete" and trial.arm is not None
        for run in trial.replicates
        if metric in run and "train_seconds" in run
    ]


def _what(spec: StudySpec) -> list[tuple[str, str]]:
    if isinstance(spec, ComparisonSpec):
        seeds = spec.seed_range
        return [
            ("arms", "; ".join(f"{arm.name}{_sets(dict(arm.params))}" for arm in spec.arms)),
            ("baseline", spec.baseline if len(spec.arms) > 1 else ""),
            ("seeds", f"{seeds.start} to {seeds.stop - 1}" if spec.seeds > 1 else str(seeds.start)),
        ]
    content = spec.content()
    space = "; ".join(f"{key} {_dimension(value)}" for key, value in content["space"].items())
    sampler, pruner = content["sampler"], content["pruner"]
    return [
        ("space", space),
        ("constraints", "; ".join(content["constraints"])),
        ("trials", f"{spec.planned}, of {counted(spec.replicates, 'run')} each"),
        ("sampler", f"{sampler['name']}, seed {sampler['seed']}"),
        ("pruner", pruner["name"]),
    ]


def _seconds(seconds: float) -> str:
    return f"{round(seconds)} s" if seconds >= 1 or not seconds else "less than 1 s"


def _dimension(value: Any) -> str:
    if not isinstance(value, dict):
        return f"one of {', '.join(map(number, value))}"
    if when := value.get("when"):
        of = value["choices"] if "choices" in value else {k: v for k, v in value.items() if k != "when"}
        return f"{_dimension(of)}, where {', '.join(f'{k} is {_condition(v)}' for k, v in when.items())}"
    if "layers" in value:
        low, high = value["layers"]
        return f"{low} to {high} layers, each {_dimension(value['units'])}"
    how = ", log" if value.get("log") else f", step {number(value['step'])}" if value.get("step") else ""
    return f"{number(value['low'])} to {number(value['high'])}{how}"


def _condition(value: Any) -> str:
    if isinstance(value, dict):
        return f"{number(value['low'])} to {number(value['high'])}"
    return " or ".join(map(number, value)) if isinstance(value, list) else number(value)


def _sets(params: dict[str, Any]) -> str:
    return f" ({', '.join(f'{key} {number(value)}' for key, value in params.items())})" if params else ""


def _extreme(spec: StudySpec) -> str:
    return directions.extreme(spec.objective.direction)


def _moment(spec: StudySpec) -> str:
    return "of the best epoch" if spec.objective.at == "best" else "at the end of training"
