"""Numbers and tables as people and programs read them: terminal, CSV, LaTeX.

Knows nothing of studies: it is given rows.
"""
