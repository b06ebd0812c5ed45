"""The parts of a report on a search: its ranking, which claims nothing, and its pictures."""

from __future__ import annotations

from hpo import plots
from hpo.analysis import ranked_trials
from hpo.analysis.confirmation import leaders_table
from hpo.analysis.front import dominated_volume, front_of, front_sentence
from hpo.analysis.importance import FEWEST_TRIALS, Importance, importances
from hpo.analysis.pruning import pruning
from hpo.analysis.surface import surface
from hpo.report.document import Block, Bullets, Command, Heading, Paragraph, Picture
from hpo.report.sections import Subject, curves_pictures
from hpo.spec import SearchSpec, directions
from hpo.studies import Study
from hpo.studies.tables import front_table, ranking_table
from hpo.tables.numbers import counted, number
from hpo.trials.record import Trial

SHOWN_CONFIGURATIONS = 25
SHOWN_CURVES = 10
SHOWN_NOTES = 10


def confirmed(study: Study) -> list[Block]:
    """What the leaders reach on fresh seeds; nothing before they are raced."""
    found = study.confirmation
    if found is None:
        return []
    how = (
        "All leaders that are still in are trained on the same seeds; after each round those drop out that"
        " are too far behind the first (least significant difference in a randomized block design, at 5 %)."
    )
    return [Heading("Confirmation"), leaders_table(found, study.spec), Paragraph(how)]


def front(subject: Subject) -> list[Block]:
    """The front of several objectives, and the volume that it dominates."""
    study, volumes = subject.study, dominated_volume(subject.spec, subject.trials)
    said = front_sentence(subject.spec, subject.trials)
    if not volumes:
        return [Heading("Front"), Paragraph(said)]
    measured = f" Hypervolume, from the worst value of each that a trial has: {number(volumes[-1][1])}."
    return [Heading("Front"), Paragraph(said + measured), front_table(subject.spec, study.front)]


def ranking(subject: Subject) -> list[Block]:
    """The complete configurations by value, and what that value is worth."""
    ranked, name = ranked_trials(subject.trials, subject.spec.objective.direction), subject.spec.name
    by_state = {state: sum(t.state == state for t in subject.trials) for state in ("pruned", "failed")}
    rest = ", ".join(f"{count} {state}" for state, count in by_state.items() if count)
    blocks: list[Block] = [
        Heading("Ranking"),
        Paragraph(f"{counted(len(ranked), 'complete configuration')}{f'; {rest}' if rest else ''}."),
    ]
    if not ranked:
        return blocks
    first = directions.extreme(subject.spec.objective.direction)
    # Without a test part there is no final evaluation.
    has_test = subject.study.test_digest is not None
    command, there = ("final", "there, and on the test set,") if has_test else ("promote", "there")
    confirmed = subject.study.confirmation
    warning = (
        f"Nothing is concluded. The {first} of {counted(len(ranked), 'value')} is chosen by luck too: on"
        f" fresh seeds it may not be reached. What is reached {there} says:"
    )
    if subject.spec.objective.at == "best":
        warning = (
            f"Values are those of each trial's best epoch, chosen on the same validation data. {warning}"
        )
    table = ranking_table(subject.spec, ranked[:SHOWN_CONFIGURATIONS], subject.comparison)
    if confirmed is not None and confirmed.winner is not None:
        said = "By what the search has found, before its leaders were trained on fresh seeds."
        blocks += [Paragraph(said), table]
    else:
        blocks += [Paragraph(warning), Command(f"hpo {command} {name}"), table]
    if len(ranked) > SHOWN_CONFIGURATIONS:
        more = counted(len(ranked) - SHOWN_CONFIGURATIONS, "further configuration")
        blocks.append(Paragraph(f"{more}: hpo compare {name} shows all."))
    return blocks + _notes(subject)


def search_pictures(subject: Subject) -> list[Block]:
    """History, pruning, importance, contours, parallel coordinates, slices and learning curves."""
    # What trains a leader again tells of no configuration of its own.
    trials = [trial for trial in subject.trials if trial.confirms is None]
    spec, ranked = subject.spec, ranked_trials(trials, subject.spec.objective.direction)
    assert isinstance(spec, SearchSpec)
    if not ranked:
        none = "there is none yet" if subject.study.unmet is None else "none meets the constraints"
        return [Paragraph(f"There are no pictures: they are of complete trials, and {none}.")]
    objective, complete = spec.objective, counted(len(ranked), "complete trial")
    pruned = sum(trial.state == "pruned" for trial in trials)
    shown = f"{complete}, and of {pruned} pruned when they stopped" if pruned else complete
    dots = max(len(ranked), pruned)
    drawn = plots.history(trials, objective.metric, objective.direction)
    history = f"History: the {objective.metric} of {shown}; over trials, epochs or seconds."
    history += _drawn(dots, plots.most_dots(1))
    blocks: list[Block] = [
        Heading("Pictures"),
        Picture(drawn, history, "hpo-history", name="history"),
        *_front(spec, trials),
        *_pruning(spec, trials),
        *_importance(spec, trials, ranked),
    ]
    lines = plots.parallel_coordinates(spec, trials)
    caption = (
        f"Parallel coordinates of {complete}, a line each; the first fifth by {objective.metric} stands out."
        f"{_drawn(len(ranked), plots.MOST_LINES)}"
    )
    blocks.append(Picture(lines, caption, name="parallel"))
    slices = plots.slices(spec, trials)
    active = " Each has the trials in which it is active." if _has_conditions(spec) else ""
    caption = f"Slices: by each hyperparameter, the {objective.metric} of {shown}.{active}"
    caption += _drawn(dots, plots.most_dots(len(spec.drawn)))
    blocks.append(Picture(slices, caption, name="slices"))
    top = {trial.number: f"#{trial.number}" for trial in ranked[:SHOWN_CURVES]}
    caption = (
        f"Learning curves of the first {len(top)} by {objective.metric}: mean over the runs of a trial, band"
        " of one standard deviation to either side if there are several; dotted where some have stopped."
    )
    return blocks + curves_pictures(subject, top, plots.styles(top.values()), caption)


def _front(spec: SearchSpec, trials: list[Trial]) -> list[Block]:
    """The picture of the front, of several objectives."""
    if len(spec.objectives) == 1:
        return []
    on_front, volumes = front_of(spec, trials), dominated_volume(spec, trials)
    first, second = (one.metric for one in spec.objectives[:2])
    caption = (
        f"Front: {first} by {second} of {counted(len(volumes), 'complete trial')}; those on the line none"
        " beats in every objective. Beside it their hypervolume, from the worst value of each."
        f"{_drawn(len(volumes) - len(on_front), plots.most_dots(1))}"
    )
    return [Picture(plots.front(spec.objectives, trials, on_front, volumes), caption, name="front")]


def _pruning(spec: SearchSpec, trials: list[Trial]) -> list[Block]:
    """What was pruned when, if anything was."""
    found = pruning(trials, spec.objective.direction)
    if found is None:
        return []
    drawn = plots.pruning(found, spec.reported, spec.objective.direction)
    return [Picture(drawn, f"Pruning: {found}", name="pruning")]


def _importance(spec: SearchSpec, trials: list[Trial], ranked: list[Trial]) -> list[Block]:
    """The pictures of importances and of the two greatest, and what they are worth; or why there are none."""
    if len(spec.space) < 2:
        return []
    found = importances(spec, trials)
    if found is None:
        why = "their values are all alike, or few have a value of each hyperparameter"
        if (missing := FEWEST_TRIALS - len(ranked)) > 0:
            why = f"it takes {FEWEST_TRIALS}, so {missing} more are needed"
        there = f"of {counted(len(ranked), 'complete trial')}"
        return [Paragraph(f"There is no picture of importances {there}: {why}.")]
    only = " That of one with a condition is what it decides where it is active." * _has_conditions(spec)
    caption = (
        f"Importance: each hyperparameter's share in what decides the value, estimated by a random forest of"
        f" {counted(len(ranked), 'complete trial')}, with its 90 % interval over resamples of them."
        f" {_order(found)}{only}"
    )
    blocks: list[Block] = [Picture(plots.importances(found), caption, "hpo-importance", name="importance")]
    expected = surface(spec, trials, found)
    if expected is not None:
        first, second = expected.names
        caption = (
            f"Contours: the {spec.objective.metric} that the forest expects by {first} and {second}, averaged"
            " over the other hyperparameters. Where no trials are, it guesses."
            f"{_drawn(len(expected.trials), plots.most_dots(1))}"
        )
        blocks.append(Picture(plots.contours(spec, expected), caption, "hpo-contours", name="contours"))
    return blocks


def _has_conditions(spec: SearchSpec) -> bool:
    return any(one.when for one in spec.drawn.values())


def _drawn(count: int, most: int) -> str:
    """What is said of a picture with more trials than it shows."""
    return f" At most {most} of a kind are drawn." if count > most else ""


def _order(found: list[Importance]) -> str:
    """How much of the order of importances is known."""
    ahead = [one.is_ahead for one in found[:-1]]
    if all(ahead):
        return "Their order is the same in nearly all of these."
    known = found[: ahead.index(False)]
    if not known:
        return "Which is the first is not known: intervals overlap too much."
    named = ", ".join(one.name for one in known)
    return f"{named} {'is' if len(known) == 1 else 'are'} ahead; the order of the rest is not known."


def _notes(subject: Subject) -> list[Block]:
    """What must be known beside the figures: of a search with many failures, the first few."""
    notes = subject.comparison.notes
    if not notes:
        return []
    more = len(notes) - SHOWN_NOTES
    tail = [f"And {counted(more, 'note')} more: hpo compare {subject.spec.name}."] if more > 0 else []
    return [Bullets((*notes[:SHOWN_NOTES], *tail))]
