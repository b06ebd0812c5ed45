"""Our own pages in front of optuna-dashboard: all studies, the live report of one, several side by side.

`catalogue` finds what the home page says of every study, cheaply enough to be asked every few seconds;
`sparklines` draws it small; `results` says what a study has shown, computed beside the requests;
`live_reports` has the reports, made by `hpo.report` of the database as it is; `renderer` puts the templates
out under a policy that lets nothing else run; `routes` answers. Pages work without script: that of the home
page only fetches its studies again, and puts in the place of the old ones those that have changed.
"""

from hpo.dashboard.pages.routes import Pages

__all__ = ["Pages"]
