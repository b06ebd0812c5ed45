"""README names every command and every option that it names is there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import typer

from hpo.cli import COMMANDS, app
from tests.command import hpo

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
# A command, as it is typed, in code of one line or in a block.
TYPED = re.compile(r"\bhpo ((?:data )?[a-z]+(?:-[a-z]+)*)((?: +[^\s`#]+)*)")


def options(*path: str) -> set[str]:
    """The options that a command takes, or hpo itself."""
    command = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]  # type: ignore[attr-defined]
    return {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}


def names() -> set[str]:
    return {name for commands in COMMANDS.values() for name in commands} | {
        "data list",
        "data fetch",
        "data show",
    }


def code() -> list[str]:
    """The lines of README's blocks of shell, and its inline code."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    outside = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", outside)


def test_every_command_of_the_help_is_in_the_readme() -> None:
    named = {found[1] for line in code() for found in TYPED.finditer(line)}
    assert names() - named == set()


def test_every_command_and_option_that_the_readme_types_exists() -> None:
    for line in code():
        for found in TYPED.finditer(line):
            name, rest = found[1], found[2]
            assert name in names() | {"data"}, line
            taken = options(*name.split())
            typed = {word.partition("=")[0] for word in rest.split() if word.startswith("-")}
            assert typed <= taken | {"--help"}, line


def test_every_option_that_stands_alone_in_the_readme_is_one_of_some_command() -> None:
    known = set[str]().union(options(), *(options(*name.split()) for name in names() | {"data"}))
    alone = {
        word
        for line in code()
        for word in re.findall(r"(?:^|[ (`])(--[a-z][a-z-]+)", line)
        if line.startswith("--")
    }
    assert alone <= known


@pytest.mark.slow
def test_the_path_of_ten_minutes_works_as_it_is_written(tmp_path: Path) -> None:
    """Each command of the section, in its order, in a folder beside a copy of `studies`."""
    section = README.split("## Ten minutes")[1].split("\n## ")[0]
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL)).splitlines()
    typed = [line.split("#")[0].split() for line in lines if line.startswith("hpo ")]
    assert len(typed) == 16
    (tmp_path / "studies").mkdir()
    shutil.copy(ROOT / "studies" / "quickstart.toml", tmp_path / "studies")
    for _, *arguments in typed:
        # A dashboard runs until it is ended, `--check` until it has answered.
        more = ["--check", "--port", "0"] if arguments == ["dashboard"] else []
        done = hpo(*arguments, *more, folder=tmp_path)
        assert done.returncode == 0, (arguments, done.stderr)
    assert "on 2 fresh seeds" in hpo("compare", "quickstart", folder=tmp_path).stdout
    assert (tmp_path / "report" / "report.html").exists()
    assert (tmp_path / "best.keras").exists()
