"""Numbers as people read them: to the digits that their spread leaves."""

from __future__ import annotations

import math
from typing import Any

# Decimals beyond which a number is written with an exponent.
MOST_DECIMALS = 6


def number(value: Any) -> str:
    """A value as tables show it: numbers to four significant digits; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(number, value))}]"
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:.0f}" if isinstance(value, int) or 1e4 <= abs(value) < 1e6 else f"{value:.4g}"


def with_spread(mean: float | None, sd: float | None) -> str:
    """`0.9716 ± 0.0012`: both to the second digit of the deviation."""
    if mean is None or sd is None:
        return number(mean)
    return f"{_fixed(mean, sd)} ± {_fixed(sd, sd)}" if sd else f"{number(mean)} ± 0"


def estimate(
    difference: float | None, low: float | None, high: float | None, *, is_ratio: bool
) -> tuple[str, str]:
    """Difference and interval: `+0.0035`, `+0.0021 to +0.0049`; of ratios `x 1.3`, `x 1.2 to x 1.4`.

    Empty where there is none.
    """
    if difference is None:
        return "", ""
    spread = None if low is None or high is None else (high - low) / 2
    first, *rest = (
        f"x {_fixed(value, spread)}" if is_ratio else signed(value, spread)
        for value in (difference, low, high)
        if value is not None
    )
    return first, " to ".join(rest)


def with_interval(
    difference: float | None, low: float | None, high: float | None, *, is_ratio: bool = False
) -> str:
    """`+0.0035 (+0.0021 to +0.0049)`."""
    first, interval = estimate(difference, low, high, is_ratio=is_ratio)
    return f"{first} ({interval})" if interval else first


def signed(value: float, spread: float | None) -> str:
    """`+0.0035`, to the second digit of what it is spread by."""
    text = _fixed(abs(value), spread)
    return f"{'-' if value < 0 else '+'}{text}"


def p_value(p: float | None) -> str:
    """`< 0.001`, `0.002`, `0.31`."""
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def counted(count: int, what: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _fixed(value: float, spread: float | None) -> str:
    """A value to the second significant digit of what it is spread by."""
    if not spread or not math.isfinite(spread):
        return number(value)
    decimals = max(0, 1 - math.floor(math.log10(spread)))
    if decimals > MOST_DECIMALS or abs(value) >= 1e6:
        return number(value)
    return f"{value:.{decimals}f}"
