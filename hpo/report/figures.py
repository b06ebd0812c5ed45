"""The figures of a report from Python, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo.errors import StudyError
from hpo.registry import place_of
from hpo.report.answers import on_validation_samples
from hpo.report.document import Block, Picture
from hpo.report.finals import on_the_test_set
from hpo.report.searches import search_pictures
from hpo.report.sections import Subject, comparison_pictures
from hpo.spec import FinalSpec, SearchSpec
from hpo.spec.base import suggest
from hpo.studies import Study

if TYPE_CHECKING:
    import plotly.graph_objects as go

OF_KIND = {
    "search": ("history", "front", "pruning", "curves", "parallel", "slices", "importance", "contours"),
    "comparison": ("curves", "differences", "times"),
    "final": ("curves", "differences", "times"),
}


def plot(study: Study, name: str) -> go.Figure:
    """A figure of a study's report.

    Args:
        study: one with complete trials.
        name: of a search `history`, `curves`, `parallel`, `slices`, from ten complete trials on `importance`
            and `contours`, where some were pruned `pruning`, with several objectives `front`; of a comparison
            or a final evaluation `differences`, `times`, `curves`. Of what the best trial made of its
            validation samples, or a final evaluation of the test set: of classes `confusion`, of these and of
            labels `roc` and `precision_recall`, of quantities `predicted` and `residuals`.

    Raises:
        StudyError: the study has no figure of that name, or none yet.
    """
    figures = _figures(_blocks(study, name))
    if name not in figures:
        raise _no_such_figure(study, name, [*figures])
    figure: go.Figure = figures[name]
    # What a page does on a wide screen; without it the height is not that of the panels.
    return figure.update_layout(figure.layout.meta["wide"])


def _figures(blocks: list[Block]) -> dict[str, go.Figure]:
    return {block.name: block.figure for block in blocks if isinstance(block, Picture) and block.name}


def _blocks(study: Study, name: str) -> list[Block]:
    if name in study.spec.learned.figures:
        return on_the_test_set(study) if isinstance(study.spec, FinalSpec) else on_validation_samples(study)
    subject = Subject(study, study.compare())
    return search_pictures(subject) if isinstance(study.spec, SearchSpec) else comparison_pictures(subject)


def _no_such_figure(study: Study, name: str, names: list[str]) -> StudyError:
    answers = study.spec.learned.figures
    known = [*OF_KIND[study.spec.kind], *answers]
    if names and name not in answers:
        # Of a final evaluation, they take its test data.
        is_final = isinstance(study.spec, FinalSpec)
        names += answers if is_final else _figures(on_validation_samples(study))
    if name in known:
        there_are = f"There are: {', '.join(names)}." if names else ""
        rule = f"has no figure {name!r} of the trials that are complete"
        return StudyError(place_of(study.name), rule, remedy=there_are)
    remedy = f"{suggest(name, known)} There are: {', '.join(known)}.".strip()
    return StudyError(place_of(study.name), "has no such figure", got=name, remedy=remedy)
