"""The door through which rows leave a store: their owner gets them, and nobody else does.

Every query names its owner, so nothing should ever be stopped here. The door is for the query that forgot to, and for
the database that answers another question than it was asked.
"""

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, TypeVar

import structlog
from prometheus_client import Counter

log = structlog.get_logger()

Row = TypeVar("Row")

VIOLATIONS = Counter(
    "user_isolation_violations_total",
    "Rows of another owner that were caught on their way out of a store. Anything but 0 is a fault in this software.",
    ["table"],
)


class OwnerGuard:
    """The door of one table. A row of another owner is left out, counted, and logged with ids alone.

    Rows have their owner in the attributes `user` and `project`; without `project`, users alone are told apart.
    """

    def __init__(self, table: str, *, user: str = "user_id", project: str | None = "project_id") -> None:
        self.table = table
        self._user = attrgetter(user)
        self._project = None if project is None else attrgetter(project)
        self._caught = VIOLATIONS.labels(table)

    def passes(self, row: object, user_id: str, project_id: str | None = None) -> bool:
        """Whether the row is the user's; with `project_id`, whether it is in this project, too."""
        if self._user(row) == user_id:
            project = self._project
            if project is None or project_id is None or project(row) == project_id:
                return True
        self._catch(row, user_id, project_id)
        return False

    def all(self, rows: Iterable[Row], user_id: str, project_id: str | None = None) -> list[Row]:
        """The rows that are the user's; with `project_id`, those in this project."""
        return [row for row in rows if self.passes(row, user_id, project_id)]

    def first(self, rows: Iterable[Row], user_id: str, project_id: str | None = None) -> Row | None:
        """The first of the rows that are the user's; None if there is none."""
        mine = self.all(rows, user_id, project_id)
        return mine[0] if mine else None

    def _catch(self, row: Any, user_id: str, project_id: str | None) -> None:
        self._caught.inc()
        log.error(
            "row of another owner caught",
            table=self.table,
            row_id=getattr(row, "id", None),
            row_user_id=self._user(row),
            row_project_id=None if self._project is None else self._project(row),
            user_id=user_id,
            project_id=project_id,
        )
