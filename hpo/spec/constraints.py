"""Constraints of a search: comparisons over hyperparameters, and over what a trial turns out to be.

Read by Python's own parser, of whose language little is taken: numbers, names, + - * / and comparisons.
"""

from __future__ import annotations

import ast
import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from hpo.spec.base import Must, RuleError, suggest

PARAMETERS = "parameters"
Stage = Literal["drawn", "built", "measured"]
_ARITHMETIC: Mapping[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_SIGNS: Mapping[type[ast.AST], str] = {ast.LtE: "<=", ast.Lt: "<", ast.GtE: ">=", ast.Gt: ">"}
_REVERSED = {"<=": ">", "<": ">=", ">=": "<", ">": "<="}
_TAKES = "It takes numbers, names, + - * / and <= < >= >."
# What no arithmetic gives is broken as far as can be.
_FARTHEST = sys.float_info.max


@dataclass(frozen=True)
class Constraint:
    """One comparison, or several in a row: `1 <= batch_size * learning_rate <= 4`.

    >>> one = Constraint("parameters <= 200_000")
    >>> one.names, one.violation({"parameters": 250_000}), one.broken({"parameters": 250_000})
    (('parameters',), 50000.0, 'parameters 250,000 > 200,000')
    """

    text: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names in it, each once."""
        return _names(self.text)

    def violation(self, values: Mapping[str, Any]) -> float:
        """How far it is broken, as Optuna has it: at most 0 if it holds.

        One of what has no value says nothing, and holds.
        """
        if any(values.get(name) is None for name in self.names):
            return 0.0
        return max(far for _, _, _, far in self._compared(values))

    def broken(self, values: Mapping[str, Any]) -> str:
        """What it is instead, for people; empty if it holds."""
        if self.violation(values) <= 0:
            return ""
        left, sign, right, _ = max(self._compared(values), key=lambda one: one[3])
        return f"{self._said(left, values)} {_REVERSED[sign]} {self._said(right, values)}"

    def _said(self, side: ast.expr, values: Mapping[str, Any]) -> str:
        number = _number(side, values)
        shown = "undefined" if number is None else f"{number:,.6g}" if abs(number) < 1e5 else f"{number:,.0f}"
        return shown if isinstance(side, ast.Constant) else f"{ast.unparse(side)} {shown}"

    def _compared(self, values: Mapping[str, Any]) -> Iterator[tuple[ast.expr, str, ast.expr, float]]:
        """Each comparison: its sides, its sign, and how far it is broken."""
        comparison = _parsed(self.text)
        sides = [comparison.left, *comparison.comparators]
        for (left, right), kind in zip(pairwise(sides), comparison.ops, strict=True):
            sign = _SIGNS[type(kind)]
            yield left, sign, right, _far(_number(left, values), sign, _number(right, values))


def _far(left: float | None, sign: str, right: float | None) -> float:
    if left is None or right is None:
        return _FARTHEST
    apart = left - right if sign in ("<=", "<") else right - left
    if apart != apart:
        return _FARTHEST
    # What must be less, and is equal, is broken as little as can be.
    least = sys.float_info.min if sign in ("<", ">") and apart == 0 else apart
    return max(-_FARTHEST, min(_FARTHEST, float(least)))


def _number(node: ast.expr, values: Mapping[str, Any]) -> float | None:
    """The number that an expression gives; None if it gives none, as a division by 0 does not."""
    if isinstance(node, ast.Constant):
        return float(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.Name):
        return float(values[node.id])
    if isinstance(node, ast.UnaryOp):
        of = _number(node.operand, values)
        return None if of is None else -of if isinstance(node.op, ast.USub) else of
    assert isinstance(node, ast.BinOp)
    left, right = _number(node.left, values), _number(node.right, values)
    if left is None or right is None:
        return None
    try:
        return _ARITHMETIC[type(node.op)](left, right)
    except (ZeroDivisionError, OverflowError):
        return None


@cache
def _parsed(text: str) -> ast.Compare:
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise RuleError("must be a comparison", got=text, remedy='Write "parameters <= 200_000".') from None
    if not isinstance(tree, ast.Compare):
        raise RuleError("must be a comparison", got=text, remedy='Write "parameters <= 200_000".')
    for kind in tree.ops:
        if type(kind) not in _SIGNS:
            raise RuleError("must compare by <=, <, >= or >", got=text)
    for side in (tree.left, *tree.comparators):
        _check(side, text)
    if not any(isinstance(node, ast.Name) for node in ast.walk(tree)):
        raise RuleError("must name a hyperparameter or what a trial turns out to be", got=text)
    return tree


@cache
def _names(text: str) -> tuple[str, ...]:
    found = [node.id for node in ast.walk(_parsed(text)) if isinstance(node, ast.Name)]
    return tuple(dict.fromkeys(found))


def _check(node: ast.expr, text: str) -> None:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float) and abs(node.value) <= _FARTHEST:  # type: ignore[arg-type]
        return None
    if isinstance(node, ast.Name):
        return None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        return _check(node.operand, text)
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        _check(node.left, text)
        return _check(node.right, text)
    raise RuleError(f"cannot have {ast.unparse(node)!r}", got=text, remedy=_TAKES)


def _distinct(texts: tuple[str, ...]) -> tuple[str, ...]:
    for index, text in enumerate(texts):
        try:
            _parsed(text)
        except RuleError as broken:
            broken.path = (index,)
            raise
        if text in texts[:index]:
            raise RuleError("repeats an earlier constraint", index, got=text)
    return texts


LONGEST = 400  # characters; it is a key of the database
Text = Annotated[str, Field(strict=True, max_length=LONGEST), Must(f"text of at most {LONGEST} characters")]
Constraints = Annotated[tuple[Text, ...], AfterValidator(_distinct)]


def stage(constraint: Constraint, hyperparameters: tuple[str, ...], measured: tuple[str, ...]) -> Stage:
    """When it is known whether it holds. Raises RuleError for a name that is none of what is known."""
    stages = set[str]()
    for name in constraint.names:
        if name in hyperparameters:
            stages.add("drawn")
        elif name == PARAMETERS:
            stages.add("built")
        elif name in measured:
            stages.add("measured")
        else:
            known = (*hyperparameters, PARAMETERS, *measured)
            remedy = suggest(name, known, otherwise="It takes hyperparameters, parameters and final metrics.")
            raise RuleError(f"names {name!r}, which is not known", got=constraint.text, remedy=remedy)
    return "measured" if "measured" in stages else "built" if "built" in stages else "drawn"
