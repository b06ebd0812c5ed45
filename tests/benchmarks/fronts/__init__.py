"""What pruning by dominance saves of a search with two objectives, and what it costs."""
