"""What a model made of samples, as pictures: of a study's best trial, its validation samples."""

from __future__ import annotations

from hpo.analysis import ranked_trials
from hpo.errors import StudyError
from hpo.plots import FIGURES, Answers
from hpo.report.document import Block, Heading, Paragraph, Picture
from hpo.spec import directions
from hpo.studies import Study
from hpo.tables.numbers import counted
from hpo.trials.record import Trial

# What each figure is, and how it is read.
CAPTIONS = {
    "confusion": ("Confusion matrix", "per cent of each true class"),
    "roc": (
        "ROC",
        "for every threshold; behind each name the area below its curve",
    ),
    "precision_recall": (
        "Precision and recall",
        "for every threshold; behind each name its average precision",
    ),
    "predicted": ("Predicted against true", "a point a sample; on the line they are equal"),
    "residuals": ("Errors", "predicted minus true, in the target's units, against what is predicted"),
}

# Those in which rows count by their weights, where they have such.
WEIGHTED = ("roc", "precision_recall")


def on_validation_samples(study: Study) -> list[Block]:
    """What the first trial made of its validation samples, by which it is the first; nothing without one."""
    if not study.spec.learned.figures:
        return []
    objective = study.spec.objective
    # That one kept its outputs; a winner on fresh seeds may be another.
    trial = next(iter(ranked_trials(study.all_trials, objective.direction)), None)
    if trial is None:
        return []
    blocks: list[Block] = [Heading("On the validation samples")]
    extreme = directions.extreme(objective.direction)
    try:
        found = study.validated(trial.number)
    except StudyError:
        said = (
            f"The artifact folder has no outputs for them of {_named(trial)}, which has the {extreme} value."
        )
        return [*blocks, Paragraph(said)]
    task, runs = study.spec.learned, len(set(zip(found.seed.tolist(), found.fold.tolist(), strict=True)))
    which = f"{len(found.y)} of {found.total}" if found.total > len(found.y) else str(found.total)
    together = f", {counted(runs, 'run')} together" if runs > 1 else ""
    whose = f"{_named(trial)}, {which} validation samples{together}"
    blocks.append(
        Paragraph(
            f"Of {_named(trial)}, which has the {extreme} {objective.metric} on them: they flatter it for"
            " that."
        )
    )
    answers = Answers(task, found.y, found.outputs, found.names, found.weight)
    key = f"hpo-validation-{task.figures[0]}"
    return [*blocks, *pictures(answers, whose, keys={task.figures[0]: key}, is_named=True)]


def pictures(answers: Answers, whose: str, *, keys: dict[str, str], is_named: bool) -> list[Block]:
    """The figures of the task; `keys` are their names in optuna-dashboard, of those that are shown there."""
    blocks: list[Block] = []
    for name in answers.task.figures:
        figure, (what, how) = FIGURES[name](answers), CAPTIONS[name]
        if figure is None:
            blocks.append(Paragraph(f"{what}: these samples all have the same targets."))
            continue
        if answers.weight is not None and name in WEIGHTED:
            how = f"{how}, rows weighted as in training"
        caption = f"{what} of {whose}: {how}."
        blocks.append(Picture(figure, caption, keys.get(name, ""), name=name if is_named else ""))
    return blocks


def _named(trial: Trial) -> str:
    """`#3`, or of a comparison `#3 (Adam, seed 2)`."""
    return f"#{trial.number}" if trial.arm is None else f"#{trial.number} ({trial.arm}, seed {trial.seed})"
