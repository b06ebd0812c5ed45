"""Studies to the blocks of a report: each study by itself, and several in one ranking."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.analysis.tables import arms_table, verdicts_table
from hpo.errors import StudyError
from hpo.report.answers import on_validation_samples
from hpo.report.document import Block, Heading, Paragraph, tables
from hpo.report.finals import on_the_test_set
from hpo.report.searches import confirmed, front, ranking, search_pictures
from hpo.report.sections import Subject, asked, comparison_pictures, data_name, method, notes, results
from hpo.report.sentences import NO_CLAIM
from hpo.spec import FinalSpec, SearchSpec, directions
from hpo.studies import Study, compare_studies
from hpo.tables.numbers import counted

SHOWN_ARMS = 30


def about(study: Study) -> list[Block]:
    """The blocks about one study."""
    subject = Subject(study, study.compare())
    spec = subject.spec
    is_search = isinstance(spec, SearchSpec)
    blocks: list[Block] = [Heading(spec.name, level=2)]
    blocks.append(Paragraph(study.headline))
    if spec.description:
        blocks.append(Paragraph(spec.description))
    ranked = front if len(study.spec.judged_by) > 1 else ranking
    blocks += [*confirmed(study), *ranked(subject)] if is_search else results(subject)
    blocks += asked(spec)
    blocks += search_pictures(subject) if is_search else comparison_pictures(subject)
    if not isinstance(spec, FinalSpec):
        blocks += on_validation_samples(study)
    return [*blocks, *on_the_test_set(study), *method(subject)]


def together(studies: Sequence[Study]) -> list[Block]:
    """One ranking of all arms, or the reason why there is none."""
    blocks: list[Block] = [Heading("All studies", level=2)]
    try:
        comparison = compare_studies(studies)
    except StudyError as error:
        reasons = _why_apart(studies) or [error.rule]
        return [*blocks, Paragraph(f"There is no common ranking: {'; '.join(reasons)}.")]
    extreme = directions.extreme(comparison.direction).capitalize()
    blocks += [
        Paragraph(f"{extreme} mean {comparison.ranked_by} first; mean ± standard deviation."),
        *tables(arms_table(comparison, most=SHOWN_ARMS)),
    ]
    if len(comparison.arms) > SHOWN_ARMS:
        blocks.append(Paragraph(f"And {counted(len(comparison.arms) - SHOWN_ARMS, 'arm')} more."))
    blocks += notes(comparison)
    verdicts = verdicts_table(comparison, metrics=[comparison.metric], most=SHOWN_ARMS)
    if not verdicts.rows:
        return [*blocks, Paragraph(f"No verdicts: {studies[0].name} has no baseline.")]
    if comparison.has_one_seed:
        return [*blocks, Paragraph(NO_CLAIM)]
    whose = f"{comparison.baseline} of {comparison.baseline_study}"
    said = f"Against {whose}. p is adjusted over all these arms, so a verdict may not be that of its study."
    return [*blocks, Paragraph(said), verdicts]


def _why_apart(studies: Sequence[Study]) -> list[str]:
    """What keeps studies from being ranked with the first, as information and without folders."""
    first, *others = studies
    mine, reasons = first.spec.data, list[str]()
    for other in others:
        its = other.spec.data
        if other.data_digest != first.data_digest:
            names = data_name(other.spec), data_name(first.spec)
            what = (
                f"{names[0]}, not on {names[1]}" if names[0] != names[1] else f"other contents of {names[0]}"
            )
            reasons.append(f"{other.name} is trained on {what}")
        elif None not in (other.test_digest, first.test_digest) and other.test_digest != first.test_digest:
            reasons.append(f"the test part of {other.name} is another one than that of {first.name}")
        else:
            keys = [key for key in ("validation", "folds", "seed") if getattr(its, key) != getattr(mine, key)]
            split = ", ".join(f"data.{key} {getattr(its, key)}, not {getattr(mine, key)}" for key in keys)
            reasons += [f"{other.name} splits its data otherwise than {first.name} ({split})"] if keys else []
    return reasons
