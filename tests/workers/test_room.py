"""More workers than a database has connections for are refused before any starts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from hpo import Study
from hpo.storage import Storage
from hpo.storage.connections import room_for_workers
from tests.command import quick
from tests.tiny_studies import SEARCH, execute, new_studies, states


@pytest.fixture(scope="module")
def study(new_postgresql: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("room")
    (made,) = new_studies(new_postgresql(), folder, SEARCH | {"trials": 300})
    return made


@pytest.mark.slow
def test_more_workers_than_connections_is_one_line_with_the_number_and_the_remedy(study, tmp_path):
    ((most,),) = execute(study.storage, "SELECT current_setting('max_connections')::int")
    done = quick("resume", study.name, "--workers", "250", folder=tmp_path, HPO_STORAGE=study.storage.url)
    assert done.returncode == 2
    line = done.stderr.splitlines()[-1]
    start = "--workers: must be at most "
    assert line.startswith(start)
    room = int(line.removeprefix(start).split(",")[0])
    assert 0 < room < most / 2
    assert line.endswith(
        "has connections left for, 2 a worker, but got 250."
        " Raise its max_connections, or put a pooler such as PgBouncer before it."
    )
    assert set(states(study)) == {"waiting"}


def test_each_connection_that_others_hold_is_counted(study):
    before = study.storage.room_for_workers()
    held = [sa.create_engine(study.storage.url).connect() for _ in range(4)]
    assert study.storage.room_for_workers() == before - 2
    for connection in held:
        connection.close()
        connection.engine.dispose()


def test_a_role_s_and_a_database_s_own_limit_count(study):
    name = sa.make_url(study.storage.url).database
    execute(study.storage, f"ALTER DATABASE {name} CONNECTION LIMIT 11")
    assert Storage(study.storage.url).room_for_workers() in (3, 4)
    execute(study.storage, f"ALTER DATABASE {name} CONNECTION LIMIT -1")


def test_what_a_pooler_lets_in_is_not_known_and_a_file_has_no_limit(study, url):
    assert Storage(url).room_for_workers() is None
    behind = sa.create_engine(study.storage.url)
    # As PgBouncer listens, for a server whose port is another one.
    behind.url = behind.url.set(port=6432)
    assert room_for_workers(behind) is None
    behind.dispose()
