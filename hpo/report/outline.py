"""Studies to the blocks of a report: each study by itself, and several in one ranking."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.analysis.tables import arms_table, verdicts_table
from hpo.errors import StudyError
from hpo.report.document import Block, Heading, Paragraph, tables
from hpo.report.finals import on_the_test_set
from hpo.report.searches import ranking, search_pictures
from hpo.report.sections import Subject, asked, comparison_pictures, method, notes, results
from hpo.report.sentences import NO_CLAIM
from hpo.spec import SearchSpec
from hpo.studies import Study, compare_studies
from hpo.tables.numbers import counted

SHOWN_ARMS = 30


def about(study: Study) -> list[Block]:
    """The blocks about one study."""
    subject = Subject(study, study.compare())
    spec = subject.spec
    blocks: list[Block] = [Heading(spec.name, level=2)]
    if spec.description:
        blocks.append(Paragraph(spec.description))
    blocks += asked(spec)
    if isinstance(spec, SearchSpec):
        blocks += [*ranking(subject), *search_pictures(subject)]
    else:
        blocks += [*results(subject), *comparison_pictures(subject)]
    return [*blocks, *on_the_test_set(study), *method(subject)]


def together(studies: Sequence[Study]) -> list[Block]:
    """One ranking of all arms, or the reason why there is none."""
    blocks: list[Block] = [Heading("All studies", level=2)]
    try:
        comparison = compare_studies(studies)
    except StudyError as error:
        return [*blocks, Paragraph(f"There is no common ranking: {error}")]
    extreme = "Highest" if comparison.direction == "maximize" else "Lowest"
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
