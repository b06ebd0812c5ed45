"""Reports: their numbers are those of `hpo compare`, they state what verdicts say, and nothing gets out."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import optuna_dashboard
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects

import hpo
from hpo.dashboard.publishing import publish
from hpo.data import load_test
from hpo.errors import DataError
from hpo.report import compose
from hpo.spec.parts import Data
from hpo.studies.final import create_final, summarise_final
from hpo.tables.markdown import escaped
from hpo.tables.numbers import with_spread
from tests.command import Done, Trained, quick
from tests.recorded import comparison, created, record

VOID = {"meta", "br", "img", "link", "hr", "input"}
CLAIMS = re.compile(r"\b(better|worse|equivalent|improve\w*|best|outperform\w*|superior)\b", re.IGNORECASE)
Rows = list[dict[str, str]]


class Page(HTMLParser):
    """A page as a browser takes it apart; fails on elements that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.scripts.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.scripts[-1] += data
        elif data.strip():
            self.text.append(data.strip())

    def count(self, tag: str, **attributes: str) -> int:
        return sum(t == tag and attributes.items() <= found.items() for t, found in self.elements)

    @property
    def figures(self) -> list[dict[str, Any]]:
        found = [text for text in self.scripts if text.startswith('{"data"')]
        return [json.loads(text) for text in found]


def markdown() -> MarkdownIt:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def plain(token: Token) -> str:
    return "".join(child.content for child in token.children or [] if child.type in ("text", "text_special"))


def tables(text: str) -> dict[str, Rows]:
    """The rows of each table of a report in Markdown, by the heading it is under."""
    found: dict[str, Rows] = {}
    heading, head, row = "", list[str](), list[str]()
    tokens = markdown().parse(text)
    for index, token in enumerate(tokens):
        before = tokens[index - 1].type if index else ""
        if before == "heading_open":
            heading = plain(token)
        elif before == "th_open":
            head.append(plain(token))
        elif before == "td_open":
            row.append(plain(token))
        elif token.type == "table_open":
            head = []
        elif token.type == "tr_close" and row:
            found.setdefault(heading, []).append(dict(zip(head, row, strict=True)))
            row = []
    return found


def bullets(text: str, heading: str) -> list[str]:
    """The items of the lists under a heading of a report in Markdown."""
    found, under = [], ""
    tokens = markdown().parse(text)
    for before, token in itertools.pairwise(tokens):
        if before.type == "heading_open":
            under = plain(token)
        elif token.type == "inline" and token.level > 2 and under == heading:
            found.append(plain(token))
    return found


def prose(text: str) -> str:
    """A report in Markdown without its method, which explains the words for verdicts."""
    return re.sub(r"### How it was done.*?(?=\n## |\Z)", "", text, flags=re.DOTALL)


def search(*, trials: int, confirm: bool = False) -> hpo.StudySpec:
    """A random search of two hyperparameters on scikit-learn's digits."""
    space = {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}, "dropout": {"low": 0.0, "high": 0.5}}
    basic = {"name": "s", "kind": "search", "data": {"name": "digits"}, "sampler": {"name": "random"}}
    return hpo.StudySpec(**basic, trials=trials, confirm=confirm, space=space)


def written(*studies: hpo.Study, out: Path) -> tuple[str, str]:
    markdown_file, page = compose(studies).write(out)
    return markdown_file.read_text(), page.read_text()


def results(**accuracy: float) -> Any:
    """Runs whose accuracy is that of their arm, with what a seed adds to all arms and to one."""
    noise = np.random.default_rng(0).normal(0, 2e-3, (len(accuracy), 100))

    def outcome(arm: str | None, seed: int) -> Mapping[str, float]:
        row = list(accuracy).index(str(arm))
        value = accuracy[str(arm)] + 0.01 * (seed % 3) + noise[row, seed]
        return {"val_accuracy": value, "val_loss": 1 - value, "train_seconds": 10.0 + 5 * row + 0.1 * seed}

    return outcome


@pytest.fixture(scope="module")
def reported(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Path]:
    """The trained comparison and search, reported together by the command."""
    out = tmp_path_factory.mktemp("reported") / "new" / "folder"
    return quick("report", "comparison", "search", "--out", out, folder=trained.folder), out


# ----------------------------------------------------------------------------------------- the command


def test_the_command_writes_both_files_and_prints_their_paths(reported: tuple[Done, Path]) -> None:
    done, out = reported
    assert (done.returncode, done.stdout.split()) == (0, [str(out / "report.md"), str(out / "report.html")])
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.md"]


def test_a_study_that_is_not_there_is_one_line_and_nothing_is_written(
    trained: Trained, tmp_path: Path
) -> None:
    done = quick("report", "comparison", "nothing", "--out", tmp_path / "out", folder=trained.folder)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "nothing" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_where_the_folder_should_be_is_one_line(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    for out in (tmp_path / "out", tmp_path / "out" / "deeper"):
        done = quick("report", "search", "--out", out, folder=trained.folder)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "must be a folder, and a file is in its place" in done.stderr
    assert (tmp_path / "out").read_text() == "mine"


def test_a_second_report_replaces_the_first(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("old")
    assert quick("report", "search", "--out", tmp_path, folder=trained.folder).returncode == 0
    assert (tmp_path / "report.md").read_text().startswith("# Report: search\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.md"]


# ----------------------------------------------------------------------------------------- the numbers


def test_means_deviations_and_counts_are_those_of_hpo_compare(trained: Trained, tmp_path: Path) -> None:
    quick("report", "comparison", "--out", tmp_path, folder=trained.folder)
    found = json.loads(quick("compare", "comparison", "--format", "json", folder=trained.folder).stdout)
    rows = {row["arm"]: row for row in tables((tmp_path / "report.md").read_text())["Results"]}
    assert list(rows) == [arm["arm"] for arm in found["arms"]]
    for arm in found["arms"]:
        row = rows[arm["arm"]]
        assert (row["n"], row["failed"]) == (str(arm["n"]), str(arm["failed"] or ""))
        assert float(row["learning_rate"]) == arm["differs"]["learning_rate"]
        for metric in found["metrics"]:
            if metric not in arm["mean"]:
                assert row[metric] == ""
                continue
            mean, _, sd = row[metric].partition(" ± ")
            assert float(sd) == pytest.approx(arm["sd"][metric], rel=0.05)
            # Of two runs whose seconds differ by less than millionths, four digits are shown.
            rounded = 0.051 * arm["sd"][metric] if arm["sd"][metric] >= 1e-5 else 5.1e-4 * arm["mean"][metric]
            assert float(mean) == pytest.approx(arm["mean"][metric], abs=rounded)


def test_differences_are_those_of_hpo_compare(tmp_path: Path) -> None:
    study = created(comparison(["plain", "good", "same"]), tmp_path)
    record(study, results(plain=0.8, good=0.84, same=0.8))
    text, _ = written(study, out=tmp_path)
    rows = tables(text)["Differences to plain"]
    expected = study.compare().verdict_rows
    assert [(row["metric"], row["arm"]) for row in rows] == [(row["metric"], row["arm"]) for row in expected]
    for row, verdict in zip(rows, expected, strict=True):
        numbers = [float(text.removeprefix("x ")) for text in row["95 % interval"].split(" to ")]
        wide = verdict["high"] - verdict["low"]
        assert numbers == pytest.approx([verdict["low"], verdict["high"]], abs=0.051 * wide)
        assert float(row["difference"].removeprefix("x ")) == pytest.approx(
            verdict["difference"], abs=0.051 * wide
        )
        assert row["pairs"] == "5"
        if not row["p"].startswith("<"):
            assert float(row["p"]) == pytest.approx(verdict["p_adjusted"], abs=0.005)
        assert row["verdict"].split(":")[0] == verdict["decision"]


def test_the_page_has_every_sentence_and_every_cell_of_the_markdown(reported: tuple[Done, Path]) -> None:
    _, out = reported
    text, page = (out / "report.md").read_text(), Page((out / "report.html").read_text())
    cells = {value for rows in tables(text).values() for row in rows for value in row.values() if value}
    assert cells
    assert cells <= set(page.text)
    for heading in ("Conclusions", "How it was done"):
        assert set(bullets(text, heading)) <= set(page.text)


# --------------------------------------------------------------------------------------- what it states


def test_conclusions_are_the_verdicts(tmp_path: Path) -> None:
    study = created(comparison(["plain", "good", "bad", "same"], min_effect={"val_accuracy": 0.02}), tmp_path)
    record(study, results(plain=0.8, good=0.9, bad=0.7, same=0.8))
    found = study.compare()
    verdicts = {arm.arm: arm.verdicts for arm in found.arms if arm.verdicts}
    assert {name: v["val_accuracy"].decision for name, v in verdicts.items()} == {
        "good": "better",
        "same": "equivalent",
        "bad": "worse",
    }
    text, _ = written(study, out=tmp_path)
    said = bullets(text, "Conclusions")
    assert len(said) == 3 + 2
    assert re.fullmatch(
        r"good is better than plain by val_accuracy: \+0\.\d+"
        r" \(95 % interval \+0\.\d+ to \+0\.\d+, p < 0\.001, 5 seeds\)\.",
        said[0],
    )
    assert re.fullmatch(
        r"same and plain are equivalent by val_accuracy, within 0\.02: [+-]0\.\d+"
        r" \(95 % interval [+-]0\.\d+ to [+-]0\.\d+, 5 seeds\)\.",
        said[1],
    )
    assert said[2].startswith("bad is worse than plain by val_accuracy: -0.")
    for line, metric in zip(said[3:], ("val_loss", "train_seconds"), strict=True):
        assert line.startswith(f"By {metric}, against plain: ")
        for name, of_arm in verdicts.items():
            assert f"{name} is {of_arm[metric].decision}" in line


def test_what_is_undecided_says_what_would_decide_and_claims_nothing(tmp_path: Path) -> None:
    study = created(comparison(["plain", "maybe"], seeds=3), tmp_path)
    record(study, results(plain=0.8, maybe=0.8035))
    (verdict,) = [arm.verdicts["val_accuracy"] for arm in study.compare().arms if arm.verdicts]
    assert verdict.decision == "undecided"
    text, _ = written(study, out=tmp_path)
    first = bullets(text, "Conclusions")[0]
    assert first.startswith(f"maybe against plain by val_accuracy is undecided: {verdict.because}. So far: ")
    assert not CLAIMS.search(first)


def test_one_seed_decides_nothing_and_is_said_once(tmp_path: Path) -> None:
    study = created(comparison(["plain", "good", "bad"], seeds=1), tmp_path)
    record(study, results(plain=0.8, good=0.9, bad=0.7))
    text, page = written(study, out=tmp_path)
    said = bullets(text, "Conclusions")
    assert said == ["One seed: every verdict is undecided, and the figures show single runs."]
    assert not CLAIMS.search(prose(text))
    assert said[0] in Page(page).text


def test_a_search_ranks_and_warns_and_claims_nothing(trained: Trained, tmp_path: Path) -> None:
    quick("report", "search", "--out", tmp_path, folder=trained.folder)
    text = (tmp_path / "report.md").read_text()
    assert "Nothing is concluded." in text
    assert "```sh\nhpo final search\n```" in text
    assert not CLAIMS.search(prose(text))
    trials = json.loads(quick("trials", "search", "--format", "json", folder=trained.folder).stdout)
    ranked = sorted(trials, key=lambda trial: -trial["value"])
    rows = tables(text)["Ranking"]
    assert [float(row["val_accuracy"]) for row in rows] == pytest.approx(
        [trial["value"] for trial in ranked], rel=1e-3
    )
    for row in rows:
        trial = trials[int(row["trial"].removeprefix("#"))]
        assert float(row["learning_rate"]) == trial["params"]["learning_rate"]


def test_trials_that_failed_or_wait_are_told(trained: Trained, tmp_path: Path) -> None:
    quick("report", "comparison", "--out", tmp_path, folder=trained.folder)
    text = (tmp_path / "report.md").read_text()
    assert "too fast: 2 of 2 trials failed" in text
    assert "loss is " in text
    assert "6 trials: 4 complete, 2 failed." in text
    study = created(comparison(["plain", "other"], seeds=2), tmp_path)
    record(study, results(plain=0.8, other=0.8), most=1)
    text, _ = written(study, out=tmp_path)
    assert [(row["arm"], row["n"], row["pending"]) for row in tables(text)["Results"]] == [
        ("plain", "1", "1"),
        ("other", "0", "2"),
    ]


def test_a_study_without_results_is_reported_as_one(tmp_path: Path) -> None:
    study = created(comparison(["plain", "other"]), tmp_path)
    text, page = written(study, out=tmp_path)
    assert not CLAIMS.search(prose(text))
    assert "10 trials: 10 waiting." in text
    assert not Page(page).figures
    assert "There is nothing to evaluate yet: no trial is complete." in text
    assert "There are no pictures" in text
    for absent in ("hpo final", "s of training"):
        assert absent not in text
    publish(study)


def test_a_search_of_data_without_a_test_part_advises_what_can_be_done(tmp_path: Path) -> None:
    spec = search(trials=3)
    study = created(spec.model_copy(update={"data": spec.data.model_copy(update={"name": "wine"})}), tmp_path)
    record(study, lambda arm, seed: {"val_accuracy": 0.9, "val_loss": 0.1})
    text, _ = written(study, out=tmp_path)
    assert "What is reached there says:\n\n```sh\nhpo promote s\n```" in text
    assert "The data have no test part, so there is nothing to evaluate on one." in text
    assert "hpo final" not in text


def test_a_search_without_a_complete_trial_advises_no_final_and_says_why_there_are_no_pictures(
    tmp_path: Path,
) -> None:
    study = created(search(trials=6), tmp_path)
    text, page = written(study, out=tmp_path)
    assert "There are no pictures: they are of complete trials, and there is none yet." in text
    assert "hpo final" not in text
    assert "s of training" not in text
    assert not Page(page).figures


def test_a_missing_picture_says_how_many_trials_it_takes(tmp_path: Path) -> None:
    study = created(search(trials=12), tmp_path)
    record(study, lambda arm, n: {"val_accuracy": 0.8 + 0.01 * n, "val_loss": 1.0}, most=7)
    said = "There is no picture of importances of 7 complete trials: it takes 10, so 3 more are needed."
    assert said in written(study, out=tmp_path)[0]
    record(study, lambda arm, n: {"val_accuracy": 0.8 + 0.01 * n, "val_loss": 1.0})
    text, page = written(study, out=tmp_path)
    assert "There is no picture of importances" not in text
    assert "90 % interval over resamples" in page


def test_the_result_comes_first_and_the_name_stands_once_on_top(tmp_path: Path) -> None:
    study = created(comparison(["plain", "good"], seeds=2, description="Why it is done."), tmp_path)
    record(study, results(plain=0.8, good=0.84))
    text, page = written(study, out=tmp_path)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    assert headings == [
        *("Report: comparison", "Conclusions", "Results", "Differences to plain", "What was asked"),
        *("Pictures", "On the validation samples", "On the test set", "How it was done"),
    ]
    assert text.index("Why it is done.") < text.index("Conclusions")
    assert (Page(page).count("h1"), Page(page).count("h2")) == (1, 0)
    ranked = created(search(trials=2), tmp_path)
    record(ranked, lambda arm, n: {"val_accuracy": 0.8, "val_loss": 1.0})
    text = written(ranked, out=tmp_path)[0]
    assert re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)[1:3] == ["Ranking", "What was asked"]


def test_all_hyperparameters_that_differ_are_shown(tmp_path: Path) -> None:
    study = created(comparison(["plain", "other"], seeds=1), tmp_path)
    record(study, results(plain=0.8, other=0.8))
    rows = tables(written(study, out=tmp_path)[0])["Results"]
    assert {row["arm"]: row["learning_rate"] for row in rows} == {"plain": "0.01", "other": "0.02"}


@pytest.mark.long
def test_a_search_of_many_trials_is_a_page_that_a_phone_can_load(tmp_path: Path) -> None:
    space = {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}, "dropout": [0.0, 0.2]}
    basic = {"name": "s", "kind": "search", "data": {"name": "digits"}, "sampler": {"name": "random"}}
    study = created(hpo.StudySpec(**basic, trials=150, space=space, confirm=False), tmp_path)
    rates = [trial.params["learning_rate"] for trial in study.all_trials]
    record(study, lambda arm, n: {"val_accuracy": rates[n], "val_loss": 1.0}, epochs=50)
    text, page = written(study, out=tmp_path)
    figures = Page(page).figures
    assert len(figures) == 6
    assert len(json.dumps(figures)) < 300_000
    assert len({trace.get("legendgroup") for trace in figures[-1]["data"]}) == 10
    assert len(tables(text)["Ranking"]) == 25
    assert "125 further configurations: hpo compare s shows all." in text
    assert not CLAIMS.search(prose(text))


@pytest.mark.parametrize(
    ("mean", "sd", "shown"),
    [
        (0.97162, 0.00123, "0.9716 ± 0.0012"),
        (1530.2, 123.4, "1530 ± 123"),
        (32.14, 1.26, "32.1 ± 1.3"),
        (0.5, 0.0, "0.5 ± 0"),
        (0.97162, None, "0.9716"),
        (1e30, 2e29, "1e+30 ± 2e+29"),
        (None, None, ""),
    ],
)
def test_means_have_the_digits_that_their_deviation_leaves(
    mean: float | None, sd: float | None, shown: str
) -> None:
    assert with_spread(mean, sd) == shown


# ------------------------------------------------------------------------------------- several studies


def test_comparable_studies_are_ranked_together(tmp_path: Path) -> None:
    first = created(comparison(["plain", "good"]), tmp_path)
    second = created(comparison(["plain", "huge"], name="second", params={"hidden_units": [9]}), tmp_path)
    record(first, results(plain=0.8, good=0.84))
    record(second, results(plain=0.75, huge=0.9))
    text, page = written(first, second, out=tmp_path)
    rows = tables(text)["All studies"]
    arms = [(row["study"], row["arm"], row["role"]) for row in rows if "n" in row]
    assert arms == [
        ("second", "huge", ""),
        ("comparison", "good", ""),
        ("comparison", "plain", "baseline"),
        ("second", "plain", ""),
    ]
    judged = {f"{row['study']}: {row['arm']}": row["verdict"] for row in rows if "verdict" in row}
    found = hpo.compare_studies([first, second])
    assert judged == {
        f"{arm.study}: {arm.arm}": str(arm.verdicts["val_accuracy"]) for arm in found.arms if arm.verdicts
    }
    assert "Against plain of comparison." in text
    parsed = Page(page)
    assert parsed.count("h2") == 3
    assert [parsed.count("a", href=f"#chapter-{n}") for n in (1, 2, 3)] == [1, 1, 1]


def test_studies_that_cannot_be_compared_are_reported_each_by_itself(tmp_path: Path) -> None:
    first = created(comparison(["plain", "good"], seeds=2), tmp_path)
    other = {"name": "digits", "validation": 0.5}
    second = created(comparison(["plain", "huge"], name="second", data=other, seeds=2), tmp_path)
    record(first, results(plain=0.8, good=0.84))
    record(second, results(plain=0.75, huge=0.9))
    text, _ = written(first, second, out=tmp_path)
    assert "All studies" not in tables(text)
    (line,) = [line for line in text.splitlines() if line.startswith("There is no common ranking: ")]
    assert line == (
        "There is no common ranking: second splits its data otherwise than comparison"
        " (data.validation 0.5, not 0.2)."
    ).replace("_", "\\_")
    assert len(tables(text)["Results"]) == 4


def test_studies_on_other_data_are_no_error_and_no_folder_is_told(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((40, 8), np.float32)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=np.arange(40) % 2)
    first = created(comparison(["plain", "good"], seeds=2), tmp_path)
    data = {"name": str(tmp_path / "own.npz")}
    second = created(comparison(["plain", "huge"], name="second", data=data, seeds=2), tmp_path)
    text, page = written(first, second, out=tmp_path)
    said = "There is no common ranking: second is trained on own.npz, not on digits."
    assert said in text
    assert said in Page(page).text
    assert "but got" not in text
    assert str(tmp_path) not in text + page


# --------------------------------------------------------------------------------------- what gets out

HOSTILE = "[bold] <script>alert(1)</script> | &amp; `x` *y* #"


def test_names_and_descriptions_are_text(tmp_path: Path) -> None:
    described = "<img src=x onerror=alert(1)>\n\n# No heading\n\n- no | list"
    study = created(comparison(["plain", HOSTILE], seeds=2, description=described), tmp_path)
    record(study, lambda arm, seed: {"val_accuracy": 0.8, "val_loss": 1.0, "train_seconds": 1.0 + seed})
    text, page = written(study, out=tmp_path)
    parsed = Page(page)
    assert HOSTILE in parsed.text
    # plotly, ours, and the JSON of each figure.
    assert parsed.count("script") == 2 + len(parsed.figures)
    assert parsed.count("img") == 0
    assert not [attrs for _, attrs in parsed.elements if any(name.startswith("on") for name in attrs)]
    assert {row["arm"] for row in tables(text)["Results"]} == {"plain", HOSTILE}
    tokens = markdown().parse(text)
    assert not [t for t in tokens if t.type.startswith("html")]
    assert not [
        c for t in tokens for c in t.children or [] if c.type in ("html_inline", "link_open", "em_open")
    ]
    assert [plain(t) for b, t in itertools.pairwise(tokens) if b.tag == "h1" and b.nesting == 1] == [
        "Report: comparison"
    ]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_any_text_is_shown_literally_by_markdown(text: str) -> None:
    shown = " ".join(text.split())
    for around in ("{}", "- {}", "|a|b|\n|---|---|\n| {} | x |"):
        tokens = markdown().parse(around.format(escaped(text)))
        inline = [token for token in tokens if token.type == "inline"]
        kinds = {child.type for token in inline for child in token.children or []}
        assert kinds <= {"text", "text_special"}
        found = [plain(token) for token in inline]
        assert found == {"|": ["a", "b", shown, "x"]}.get(around[0], [shown] if shown else [])


def test_the_page_loads_nothing_from_elsewhere(reported: tuple[Done, Path]) -> None:
    _, out = reported
    page = Page((out / "report.html").read_text())
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/png;base64,")), (tag, name, value)
    (policy,) = [a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "http" not in policy
    ours = [text for text in page.scripts if "matchMedia" in text or "prefers-color-scheme" in text]
    assert not [text for text in ours if "http" in text and "plotly.js" not in text]
    assert page.count("meta", name="viewport") == 1


def test_a_figure_cannot_end_its_script(tmp_path: Path) -> None:
    study = created(comparison(["plain", "</script><b>"], seeds=2), tmp_path)
    record(study, lambda arm, seed: {"val_accuracy": 0.8, "val_loss": 1.0, "train_seconds": 1.0 + seed})
    parsed = Page(written(study, out=tmp_path)[1])
    names = {trace.get("name") for figure in parsed.figures for trace in figure["data"]}
    assert "&lt;/script&gt;&lt;b&gt;" in names
    assert parsed.count("b") == 0


# --------------------------------------------------------------------------------------- the dashboard


def test_note_and_graphs_are_on_the_studies_in_the_dashboard(
    trained: Trained, reported: tuple[Done, Path]
) -> None:
    _, out = reported
    for name, keys in {
        "comparison": {"hpo-differences", "hpo-times", "hpo-curves", "hpo-validation-confusion"},
        "search": {"hpo-history", "hpo-curves", "hpo-validation-confusion"},
    }.items():
        study = hpo.open_study(
            name,
            storage=f"sqlite:///{trained.folder / 'hpo.db'}",
            artifact_dir=trained.folder / "hpo-artifacts",
        )
        note = optuna_dashboard.get_note(study.optuna)
        assert note.startswith(f"## {name}\n")
        text = (out / "report.md").read_text()
        assert note.strip() in text
        graphs = get_plotly_graph_objects(study.storage.optuna.get_study_system_attrs(study.id))
        assert graphs.keys() == keys
        for graph in graphs.values():
            # The dashboard gives it a height.
            assert "height" not in json.loads(graph)["layout"]


def test_to_publish_again_changes_nothing_until_something_has_changed(tmp_path: Path) -> None:
    study = created(comparison(["plain", "good"]), tmp_path)
    record(study, results(plain=0.8, good=0.84), most=6)
    publish(study)
    before = study.storage.optuna.get_study_system_attrs(study.id)
    publish(study)
    assert study.storage.optuna.get_study_system_attrs(study.id) == before
    record(study, results(plain=0.8, good=0.84))
    publish(study)
    assert study.storage.optuna.get_study_system_attrs(study.id)["dashboard:note_ver"] == 2
    assert "10 complete" in optuna_dashboard.get_note(study.optuna)


def test_a_note_has_no_long_tables(tmp_path: Path) -> None:
    names = [f"arm {index}" for index in range(12)]
    study = created(comparison(names, seeds=2), tmp_path)
    record(study, results(**dict.fromkeys(names, 0.8)))
    publish(study)
    note = optuna_dashboard.get_note(study.optuna)
    assert len(tables(note)["Results"]) == 12
    assert "Differences: 33 rows, in the report. Make it with: hpo report comparison --out DIR" in note


# ---------------------------------------------------------------------------------------- the test set


@pytest.fixture(scope="module")
def final(tmp_path_factory: pytest.TempPathFactory) -> tuple[hpo.Study, hpo.Study]:
    """A comparison and its final evaluation, whose predictions are right for all samples but two."""
    source = created(comparison(["plain", "good"]), tmp_path_factory.mktemp("final"))
    record(source, results(plain=0.8, good=0.9))
    evaluation, test = create_final([source], seeds=3), load_test("digits")

    def predict(number: int) -> np.ndarray[Any, Any]:
        made = np.full((len(test.y), 10), 0.02, np.float32)
        made[np.arange(len(test.y)), test.y] = 0.82
        for sample, certain in ((5, 0.6), (7, 0.99)):
            made[sample] = (1 - certain) / 9
            made[sample, (test.y[sample] + 1) % 10] = certain
        return made

    def outcome(arm: str | None, seed: int) -> Mapping[str, float]:
        step = 0.001 * (seed % 10)
        found = {"val_accuracy": 0.89 + step, "test_accuracy": 0.87 + 2 * step, "train_seconds": 1.0}
        return found | {"val_loss": 0.5, "test_loss": 0.6 + step}

    record(evaluation, outcome, predict=predict)
    return source, evaluation


def test_without_a_final_evaluation_the_report_says_which_command_makes_one(
    reported: tuple[Done, Path],
) -> None:
    text = (reported[1] / "report.md").read_text()
    assert text.count("Nothing of this study was evaluated on the test set.") == 2
    assert "hpo final comparison" in text


def test_a_final_evaluation_is_shown_beside_what_it_was_chosen_by(
    final: tuple[hpo.Study, hpo.Study], tmp_path: Path
) -> None:
    source, evaluation = final
    text, _ = written(source, out=tmp_path)
    (arm,) = summarise_final(evaluation).arms
    rows = tables(text)["On the test set"]
    accuracy, loss, *samples = rows
    for row, metric in ((accuracy, "accuracy"), (loss, "loss")):
        gap = arm.gaps[metric]
        assert row["metric"] == metric
        for column, value in {
            "validation, when chosen": gap.selected,
            "validation, fresh seeds": gap.validation,
            "test": gap.test,
        }.items():
            assert float(row[column]) == pytest.approx(value, rel=1e-3)
        assert float(row["gap"]) == pytest.approx(gap.gap, rel=0.05)
        low, high = (float(bound) for bound in row["95 % interval"].split(" to "))
        assert (low, high) == pytest.approx((gap.low, gap.high), abs=1e-4)
    assert "the first look at the test set" in text
    # The worst mistakes come before right ones.
    assert [(row["sample"], row["probability"]) for row in samples[:2]] == [("7", "0.990"), ("5", "0.600")]
    assert [row["true"] == row["predicted"] for row in samples] == [False] * 2 + [True] * 4


def test_mistakes_have_their_image_their_classes_and_their_probabilities(
    final: tuple[hpo.Study, hpo.Study], tmp_path: Path
) -> None:
    import base64
    import io

    from PIL import Image

    page = Page(written(final[0], out=tmp_path)[1])
    images = {a["alt"]: str(a["src"]) for tag, a in page.elements if tag == "img"}
    assert {"test sample 5", "test sample 7"} < images.keys()
    assert len(images) == 4 + 2
    test = load_test("digits")
    stored = base64.b64decode(images["test sample 7"].partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(stored)))
    assert pixels.tolist() == np.rint(test.x[7] * test.scale * 255).astype(int).tolist()
    assert "0.990" in page.text
    (matrix,) = [f for f in page.figures if f["data"][0]["type"] == "heatmap"]
    counts = np.asarray(matrix["data"][0]["customdata"])
    assert (counts.sum(), np.trace(counts)) == (3 * len(test.y), 3 * (len(test.y) - 2))


def test_a_final_evaluation_can_be_reported_itself(
    final: tuple[hpo.Study, hpo.Study], tmp_path: Path
) -> None:
    text, _ = written(final[1], out=tmp_path)
    assert "test_accuracy" in tables(text)["Results"][0]
    assert "There is nothing to conclude" in text
    publish(final[1])


def test_test_data_that_cannot_be_had_is_said(
    final: tuple[hpo.Study, hpo.Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(data: Data, *, task: str | None) -> None:
        raise DataError(f"data set {data.name}", "a source must deliver it")

    monkeypatch.setattr("hpo.registry.stored.load_test", gone)
    text, _ = written(final[0], out=tmp_path)
    assert "No pictures of predictions: data set digits: a source must deliver it." in text
    assert tables(text)["On the test set"]


# ------------------------------------------------------------------------------------- what is missing


def test_learning_curves_that_are_gone_are_said(tmp_path: Path) -> None:
    study = created(comparison(["plain", "good"], seeds=2), tmp_path)
    record(study, results(plain=0.8, good=0.84))
    files = sorted((tmp_path / "hpo-artifacts").iterdir())
    files[0].unlink()
    files[1].write_bytes(b"\x00 not, a table")
    text, page = written(study, out=tmp_path)
    assert re.search(r"The artifact folder has no learning curves of #\d, #\d\.", text)
    assert len(Page(page).figures) == 3


# ------------------------------------------------------------------------------------------- how fast


@pytest.mark.long
def test_seven_arms_of_thirty_seeds_and_fifty_epochs_are_reported_in_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"arm {index}" for index in range(7)]
    study = created(comparison(names, seeds=30), tmp_path)
    record(study, results(**{name: 0.8 + 0.003 * index for index, name in enumerate(names)}), epochs=50)
    begun = time.perf_counter()
    compose([hpo.open_study("comparison", storage=study.storage)]).write(tmp_path)
    reported = time.perf_counter()
    publish(study)
    published = time.perf_counter()
    with capsys.disabled():
        print(f"\n7 x 30 x 50: report {reported - begun:.2f} s, published again {published - reported:.2f} s")
    assert {row["n"] for row in tables((tmp_path / "report.md").read_text())["Results"]} == {"30"}
    assert (tmp_path / "report.html").stat().st_size < 6_000_000
    assert reported - begun < 15
