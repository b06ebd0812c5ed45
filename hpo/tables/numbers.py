"""Numbers as people read them: to the digits that their spread leaves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# Decimals beyond which a number is written with an exponent.
MOST_DECIMALS = 6


def number(value: Any) -> str:
    """A value as tables show it: numbers to four significant digits; nothing for None.

    >>> number(0.123456), number(12345.6), number([0.2, 1e-05]), number(True), number(None)
    ('0.1235', '12346', '[0.2, 1e-05]', 'true', '')
    """
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
    """A mean and its standard deviation, both to the second digit of the deviation.

    >>> with_spread(0.97162, 0.00123), with_spread(1530.2, 123.4), with_spread(0.97162, None)
    ('0.9716 ± 0.0012', '1530 ± 123', '0.9716')
    """
    if mean is None or sd is None:
        return number(mean)
    return f"{_fixed(mean, sd)} ± {_fixed(sd, sd)}" if sd else f"{number(mean)} ± 0"


def estimate(
    difference: float | None, low: float | None, high: float | None, *, is_ratio: bool
) -> tuple[str, str]:
    """Difference and interval, as far as the interval knows them; empty where there is none.

    >>> estimate(0.00351, 0.00212, 0.0049, is_ratio=False)
    ('+0.0035', '+0.0021 to +0.0049')
    >>> estimate(1.31, 1.22, 1.4, is_ratio=True)
    ('x 1.310', 'x 1.220 to x 1.400')
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
    """A difference, and its interval behind it.

    >>> with_interval(0.00351, 0.00212, 0.0049)
    '+0.0035 (+0.0021 to +0.0049)'
    """
    first, interval = estimate(difference, low, high, is_ratio=is_ratio)
    return f"{first} ({interval})" if interval else first


def signed(value: float, spread: float | None) -> str:
    """A number with its sign, to the second digit of what it is spread by.

    >>> signed(0.00351, 0.0014), signed(-2, None)
    ('+0.0035', '-2')
    """
    text = _fixed(abs(value), spread)
    return f"{'-' if value < 0 else '+'}{text}"


def p_value(p: float | None) -> str:
    """A p-value; nothing for None.

    >>> p_value(2e-5), p_value(0.0021), p_value(0.314)
    ('< 0.001', '0.002', '0.31')
    """
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def settings(values: Mapping[str, Any]) -> str:
    """Hyperparameters on one line.

    >>> settings({"dropout": [0.2, 0.5], "learning_rate": 0.01})
    'dropout=[0.2, 0.5] learning_rate=0.01'
    """
    return " ".join(f"{name}={'none' if value is None else number(value)}" for name, value in values.items())


def counted(count: int, what: str) -> str:
    """How many there are of something.

    >>> counted(1, "trial"), counted(2, "trial")
    ('1 trial', '2 trials')
    """
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def level(alpha: float) -> str:
    """The level of intervals.

    >>> level(0.05)
    '95 %'
    """
    return f"{100 * (1 - alpha):g} %"


def duration(seconds: float) -> str:
    """How long something took, or will take.

    >>> duration(4.21), duration(75), duration(7260)
    ('4.2 s', '1 min 15 s', '2 h 01 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _fixed(value: float, spread: float | None) -> str:
    """A value to the second significant digit of what it is spread by."""
    if not spread or not math.isfinite(spread):
        return number(value)
    decimals = max(0, 1 - math.floor(math.log10(spread)))
    if decimals > MOST_DECIMALS or abs(value) >= 1e6:
        return number(value)
    return f"{value:.{decimals}f}"
