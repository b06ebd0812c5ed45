"""The part of a report on the test set: final evaluations, pictures and examples of their predictions."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.data import Dataset, as_pixels, is_image_shape
from hpo.data.archive import DAMAGE
from hpo.errors import DataError, StudyError
from hpo.plots import Answers
from hpo.report.answers import pictures
from hpo.report.document import Bar, Block, Command, Example, Examples, Heading, Paragraph
from hpo.spec import FinalSpec
from hpo.studies import Study
from hpo.studies.final import FinalArm, FinalSummary, finals_of, summarise_final
from hpo.studies.promotion import TOP
from hpo.studies.tables import gaps_table
from hpo.tables.numbers import counted

NO_PICTURES = "No pictures of predictions"
SHOWN_ARMS = 3
SHOWN_RIGHT, SHOWN_WRONG = 4, 8
SHOWN_BARS = 10

Array = npt.NDArray[Any]


def on_the_test_set(study: Study) -> list[Block]:
    """What the final evaluations of a study have shown, or that there is none."""
    finals = [study] if isinstance(study.spec, FinalSpec) else finals_of(study)
    blocks: list[Block] = [Heading("On the test set")]
    if not finals and study.unmet is not None:
        return [*blocks, Paragraph("There is nothing to evaluate: no trial meets the constraints.")]
    if not finals and not any(trial.state == "complete" for trial in study.all_trials):
        return [*blocks, Paragraph("There is nothing to evaluate yet: no trial is complete.")]
    if not finals and study.test_digest is None:
        return [*blocks, Paragraph("The data have no test part, so there is nothing to evaluate on one.")]
    if not finals:
        said = "Nothing of this study was evaluated on the test set. This trains it on fresh seeds and does:"
        # How many of a front, a person says.
        top = f" --top {min(TOP, len(study.front))}" if len(study.spec.judged_by) > 1 else ""
        return [*blocks, Paragraph(said), Command(f"hpo final {study.name}{top}")]
    for final in finals:
        blocks += _evaluation(final, latest=final is finals[-1])
    return blocks


def _evaluation(final: Study, *, latest: bool) -> list[Block]:
    summary = summarise_final(final)
    blocks: list[Block] = [Paragraph(_about(final, summary)), *_gaps(summary)]
    failed = [
        f"{arm.arm}: {arm.failed} of {len(arm.trials)} trials failed." for arm in summary.arms if arm.failed
    ]
    blocks += [Paragraph(line) for line in failed]
    arms = [arm for arm in summary.arms if arm.n][:SHOWN_ARMS]
    if not arms:
        return [*blocks, Paragraph("None of its runs has finished."), Command(f"hpo resume {final.name}")]
    try:
        test = final.load_test_data()
    except DataError as error:
        return [*blocks, Paragraph(f"{NO_PICTURES}: {error}")]
    assert test is not None  # of a final evaluation
    if final.test_digest is None and not _agrees(final, arms, test):
        return [*blocks, Paragraph(f"{NO_PICTURES}: the test data has changed since the evaluation.")]
    if (ready := sum(arm.n > 0 for arm in summary.arms)) > len(arms):
        blocks.append(Paragraph(f"Pictures of the first {len(arms)} of {ready} configurations:"))
    for index, arm in enumerate(arms):
        blocks += _predictions(final, arm, test, is_shown=latest and not index)
    return blocks


def _about(final: Study, summary: FinalSummary) -> str:
    spec = final.spec
    assert isinstance(spec, FinalSpec)
    seeds = spec.seed_range
    which = f"{counted(len(summary.arms), 'configuration')} of {', '.join(summary.sources)}"
    look = (
        "the first look at the test set"
        if summary.evaluation == 1
        else (f"look number {summary.evaluation} at the test set, which flatters more with every look")
    )
    return f"{final.name}: {which}, trained on seeds {seeds.start} to {seeds.stop - 1}; {look}."


def _gaps(summary: FinalSummary) -> list[Block]:
    table = gaps_table(summary)
    if not table.rows:
        return []
    said = (
        "Gap: validation minus test over the fresh seeds; its interval leaves out how the test set was drawn."
    )
    return [table, Paragraph(said)]


def _agrees(final: Study, arms: Sequence[FinalArm], test: Dataset) -> bool:
    """Whether stored predictions are as accurate on these data as was measured.

    It stands for the digest of the test part, which version 0.1 did not keep.
    """
    measured = {trial.number: trial.metrics.get("test_accuracy") for trial in final.all_trials}
    for arm in arms:
        for number, probabilities in _stored(final, arm, test):
            accuracy = float(np.mean(probabilities.argmax(axis=1) == test.y))
            if abs(accuracy - (measured[number] or 0.0)) > 0.5 / len(test.y):
                return False
    return True


def _stored(final: Study, arm: FinalArm, test: Dataset) -> list[tuple[int, Array]]:
    """The predictions of an arm's trials, with their numbers, as far as they are there and fit."""
    found = []
    for number in arm.trials:
        try:
            found.append((number, final.predictions(number)))
        except (StudyError, *DAMAGE):
            continue
    units = test.task.units(test.classes)
    return [(n, outputs) for n, outputs in found if outputs.shape == (len(test.y), units)]


def _predictions(final: Study, arm: FinalArm, test: Dataset, *, is_shown: bool) -> list[Block]:
    """Pictures of an arm over its seeds, and examples of its first seed if a sample is one, of one class.

    `is_shown`: Python and optuna-dashboard have the pictures too.
    """
    if not test.task.figures:
        return []
    found = _stored(final, arm, test)
    if not found:
        return [Paragraph(f"{arm.arm}: there are no predictions for this test set.")]
    task, (first, outputs) = test.task, found[0]
    every = np.concatenate([outputs for _, outputs in found])
    weight = None if test.weight is None else np.concatenate([test.weight] * len(found))
    answers = Answers(task, np.concatenate([test.y] * len(found)), every, test.names, weight)
    whose = f"{arm.arm} on the test set, {counted(len(found), 'seed')} together"
    keys = {task.figures[0]: f"hpo-{task.figures[0]}"} if is_shown else {}
    blocks = pictures(answers, whose, keys=keys, is_named=is_shown)
    if (probabilities := task.probabilities(outputs)) is None or test.is_nested:
        return blocks
    right, wrong = examples(test, probabilities)
    which = f"{arm.arm}, trial #{first} of {final.name}"
    return [
        *blocks,
        *_examples(f"The worst mistakes, wrong with the highest probability: {which}", wrong),
        *_examples(f"Right: {which}", right),
    ]


def examples(test: Dataset, probabilities: Array) -> tuple[list[Example], list[Example]]:
    """The first right sample of each of a few classes, and the wrong ones with the highest probability."""
    predicted, certain = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = np.flatnonzero(predicted == test.y)
    _, firsts = np.unique(test.y[right], return_index=True)
    wrong = np.flatnonzero(predicted != test.y)
    worst = wrong[np.argsort(-certain[wrong], kind="stable")]
    return (
        [_example(test, probabilities, int(index)) for index in right[firsts[:SHOWN_RIGHT]]],
        [_example(test, probabilities, int(index)) for index in worst[:SHOWN_WRONG]],
    )


def _example(test: Dataset, probabilities: Array, index: int) -> Example:
    names, shares = test.names, probabilities[index]
    true, predicted = int(test.y[index]), int(shares.argmax())
    shown = np.argsort(-shares, kind="stable")[:SHOWN_BARS]
    shown = np.sort(shown if true in shown else np.append(shown[:-1], true))
    bars = [Bar(names[c], float(shares[c]), c == true, c == predicted) for c in shown.tolist()]
    return Example(
        image=image(test.x[index], test.scale),
        index=index,
        true=names[true],
        predicted=names[predicted],
        probability=float(shares[predicted]),
        bars=tuple(bars),
    )


def image(sample: Array, scale: float) -> str:
    """A sample as the data URI of a PNG; empty unless it is (height, width) or (height, width, 1 or 3)."""
    from PIL import Image

    if not is_image_shape(sample.shape):
        return ""
    (pixels,) = as_pixels(sample[np.newaxis], scale)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _examples(title: str, found: list[Example]) -> list[Block]:
    return [Examples(title, tuple(found))] if found else []
