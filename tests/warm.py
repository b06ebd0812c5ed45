"""What processes under test import first: a server imports it once, and they are forked from it."""

# ruff: noqa: E402, F401

from __future__ import annotations

import gc
import os
from functools import cache

# As `hpo.training.device` imports it, but without its devices: their threads would not survive the fork.
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3")
_errors = os.dup(2)
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
import keras
import tensorflow

os.dup2(_errors, 2)
os.close(_errors)

import alembic.command
import pandas
import psycopg

# Each fork runs the main module of a run in one process.
import pytest
import rich._emoji_codes
import rich.panel
import rich.progress
import rich.table
import sklearn.datasets
import sklearn.model_selection
import sqlalchemy.dialects.postgresql
import sqlalchemy.dialects.sqlite
import typer.main
import typer.rich_utils
from optuna.storages import RDBStorage
from sqlalchemy.orm import configure_mappers

import hpo.analysis
import hpo.cli
import hpo.dashboard.server
import hpo.doctor
import hpo.prediction
import hpo.report
import hpo.studies.final
import hpo.trials.model_check
import hpo.trials.runner
import hpo.workers.worker
import tests.forks
from hpo.data import load_train
from hpo.storage.revisions import revisions_of_optuna

load_train("digits")
revisions_of_optuna()
configure_mappers()
# Typer reads the signatures of all commands each time: 30 ms of the 70 that a fork takes.
typer.main.get_command = cache(typer.main.get_command)
typer.main.get_command(hpo.cli.app)
gc.collect()
gc.freeze()
