"""Tables as data, and how people and programs read them: terminal, JSON, CSV, LaTeX, Markdown, HTML.

Knows nothing of studies, and imports no room. Who has something to show makes a `Table`: rows of values, and
columns that say of which kind these are. A kind formats its values, once for all; one module for each form
lays the table out. What a number looks like is decided in `numbers` and `kinds`, and nowhere else.
"""

from hpo.tables.table import Cell, Column, Table

__all__ = ["Cell", "Column", "Table"]
