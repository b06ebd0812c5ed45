"""The token that lets a browser in, and how often somebody may guess it."""

from __future__ import annotations

import contextlib
import hmac
import re
import secrets
import threading
import time
from collections import OrderedDict, deque
from pathlib import Path

from hpo.errors import HpoError
from hpo.files import whole_file

SHORTEST = 32
TOKEN = re.compile(r"[A-Za-z0-9_~.-]+")
WRONG_PER_WINDOW = 10
WINDOW_SECONDS = 60.0
# Of so many addresses wrong tokens are counted; the one that has been quiet for longest is forgotten.
MOST_ADDRESSES = 10_000


def new_token() -> str:
    """256 random bits that may stand in a link."""
    return secrets.token_urlsafe(32)


def token_in(path: Path) -> str:
    """The token in a file's first line. If there is no such file it is made, for its owner alone.

    Raises:
        HpoError: it can be neither read nor made, or holds no token.
    """
    place = f"token file {path}"
    try:
        if not path.exists():
            # Somebody else may make it at the same time: then theirs counts.
            with contextlib.suppress(FileExistsError), whole_file(path, replace=False) as draft:
                draft.touch(mode=0o600)
                draft.write_text(f"{new_token()}\n")
        lines = path.read_text(encoding="utf-8").strip().splitlines()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise HpoError(place, f"cannot be read or made: {why}") from None
    token = lines[0].strip() if lines else ""
    if len(token) < SHORTEST or not TOKEN.fullmatch(token):
        rule = f"must begin with a line of at least {SHORTEST} letters, digits, -, _, . or ~"
        remedy = "Name a file that does not exist: one with a random token is made."
        raise HpoError(place, rule, remedy=remedy)
    return token


class Token:
    """A token, and the cookie that stands for it in a browser.

    The cookie follows from the token, so browsers stay logged in when a dashboard with a token file restarts.
    """

    def __init__(self, token: str) -> None:
        self.text = token
        self.cookie = hmac.digest(token.encode(), b"hpo dashboard", "sha256").hex()

    def is_token(self, given: str) -> bool:
        """Whether it is the token, found in constant time."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.text.encode())

    def is_cookie(self, given: str) -> bool:
        """Whether it is the cookie, found in constant time."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.cookie.encode())


class WrongTokens:
    """Counts wrong tokens by address: after some within a minute nothing more from there is looked at.

    Cookies are not counted: one has 256 bits, which nobody guesses, and counting them would let any page that
    a person visits lock out that person's browser.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def are_too_many(self, address: str) -> bool:
        """Whether no token from this address is looked at for now."""
        with self._lock:
            times = self._wrong.get(address, deque())
            while times and times[0] < time.monotonic() - WINDOW_SECONDS:
                times.popleft()
            return len(times) >= WRONG_PER_WINDOW

    def count(self, address: str) -> None:
        """Note one from this address."""
        with self._lock:
            self._wrong.setdefault(address, deque(maxlen=WRONG_PER_WINDOW)).append(time.monotonic())
            self._wrong.move_to_end(address)
            while len(self._wrong) > MOST_ADDRESSES:
                self._wrong.popitem(last=False)
