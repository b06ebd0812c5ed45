"""optuna-dashboard as a service: its own application behind a guard, on studies that open at once."""

from hpo.dashboard.selfcheck import Checked, check
from hpo.dashboard.server import HOST, PORT, Settings, serve

__all__ = ["HOST", "PORT", "Checked", "Settings", "check", "serve"]
