"""How good a configuration each strategy finds in a hundred trainings; see `__main__`."""
