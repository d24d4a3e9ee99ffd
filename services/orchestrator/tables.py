"""The orchestrator's tables."""

import sqlalchemy as sa

from services.orchestrator.model import ACTIVE, UNFINISHED, ApprovalState
from services.runtime.database import Json, UtcDateTime
from services.runtime.idempotency import IdempotencyKeys
from services.runtime.ownership import OwnerGuard

metadata = sa.MetaData()
ID = sa.String(36)

idempotency_keys = IdempotencyKeys(metadata)

# What the orchestrator must know of a project: that it may have sessions, or never again.
projects = sa.Table(
    "projects",
    metadata,
    sa.Column("user_id", ID, primary_key=True),
    sa.Column("project_id", ID, primary_key=True),
    sa.Column("deleted", sa.Boolean, nullable=False, default=False),
)

chat_sessions = sa.Table(
    "chat_sessions",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("project_id", ID, nullable=False),
    sa.Column("user_id", ID, nullable=False),
    sa.Column("title", sa.String(200)),
    sa.Column("message_count", sa.Integer, nullable=False, default=0),
    # Runs accepted so far: the position of the next one.
    sa.Column("run_count", sa.Integer, nullable=False, default=0),
    sa.Column("last_event_id", sa.String(100)),
    # Deleted sessions stay until their streams are ended.
    sa.Column("deleted", sa.Boolean, nullable=False, default=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Index("ix_chat_sessions_owner", "user_id", "project_id", "created_at", "id"),
)
sa.Index(
    "ix_chat_sessions_deleted",
    chat_sessions.c.id,
    sqlite_where=chat_sessions.c.deleted.is_(True),
    postgresql_where=chat_sessions.c.deleted.is_(True),
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("session_id", ID, sa.ForeignKey("chat_sessions.id"), nullable=False),
    sa.Column("user_id", ID, nullable=False),
    sa.Column("run_id", ID),
    sa.Column("agent_id", ID),
    sa.Column("role", sa.String(20), nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    # Twice the run's position, plus one for the answer: a conversation reads in order also when messages queued.
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("timestamp", UtcDateTime, nullable=False),
    sa.Column("metadata", Json, nullable=False, default=dict),
    sa.UniqueConstraint("session_id", "position"),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("session_id", ID, sa.ForeignKey("chat_sessions.id"), nullable=False),
    sa.Column("project_id", ID, nullable=False),
    sa.Column("user_id", ID, nullable=False),
    sa.Column("mode", sa.String(20), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    # Position of the run whose message this one answers: its own, unless it retries another.
    sa.Column("asked_at", sa.Integer, nullable=False),
    sa.Column("answer_id", ID, nullable=False),
    sa.Column("answered", sa.Boolean, nullable=False, default=False),
    sa.Column("retry_of", ID),
    sa.Column("error_reason", sa.String(100)),
    sa.Column("error_detail", sa.Text),
    sa.Column("stop_reason", sa.String(100)),
    # Of its plan, once it has one; what was wrong with proposals is a list of {reason, detail}.
    sa.Column("plan_origin", sa.String(20)),
    sa.Column("plan_problems", Json, nullable=False, default=list),
    sa.Column("planning_seconds", sa.Double),
    sa.Column("prompt_tokens", sa.Integer, nullable=False, default=0),
    sa.Column("completion_tokens", sa.Integer, nullable=False, default=0),
    sa.Column("model_calls", sa.Integer, nullable=False, default=0),
    # Who works on it, how often it changed hands, until when it is theirs by the database's clock (seconds since 1970).
    sa.Column("owner", ID),
    sa.Column("epoch", sa.Integer, nullable=False, default=0),
    sa.Column("lease_until", sa.Double, nullable=False, default=0),
    # Takeovers since the last committed progress.
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    # Since when nobody works on it (by the database's clock, seconds since 1970) if its lease does not say so: it waits
    # for its user, or was given back. And for how long nobody did since it began.
    sa.Column("idle_since", sa.Double),
    sa.Column("idle_seconds", sa.Double, nullable=False, default=0),
    sa.Column("event_count", sa.Integer, nullable=False, default=0),
    sa.Column("last_event_id", sa.String(100)),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.UniqueConstraint("session_id", "position"),
    sa.Index("ix_runs_owner", "user_id", "project_id", "created_at", "id"),
    sa.Index("ix_runs_lease", "state", "lease_until"),
)

# A run is retried once, whoever asks at the same time.
sa.Index("ux_runs_retry_of", runs.c.retry_of, unique=True)

# What counts against a user's limits.
# Whoever selects these says it in these words: SQLite uses an index of some rows alone only where it sees, without
# looking at parameters, that no others are wanted.
IS_UNFINISHED = runs.c.state.in_(sa.bindparam("unfinished", UNFINISHED, expanding=True, literal_execute=True))
sa.Index("ix_runs_unfinished", runs.c.user_id, sqlite_where=IS_UNFINISHED, postgresql_where=IS_UNFINISHED)

# One active run a session, whatever two transactions read before they wrote.
sa.Index(
    "ux_runs_active",
    runs.c.session_id,
    unique=True,
    sqlite_where=runs.c.state.in_(ACTIVE),
    postgresql_where=runs.c.state.in_(ACTIVE),
)

run_tasks = sa.Table(
    "run_tasks",
    metadata,
    sa.Column("run_id", ID, sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("id", sa.String(100), primary_key=True),
    sa.Column("user_id", ID, nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("agent_id", ID, nullable=False),
    sa.Column("agent_name", sa.String(100), nullable=False),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("instruction", sa.Text, nullable=False),
    sa.Column("depends_on", Json, nullable=False, default=list),
    sa.Column("state", sa.String(20), nullable=False),
    # Also the generation of the text that the task writes: never falls, also across takeovers.
    sa.Column("attempt", sa.Integer, nullable=False, default=0),
    sa.Column("output", sa.Text),
    sa.Column("error_reason", sa.String(100)),
    sa.Column("error_detail", sa.Text),
    sa.Column("prompt_tokens", sa.Integer, nullable=False, default=0),
    sa.Column("completion_tokens", sa.Integer, nullable=False, default=0),
    sa.Column("model_calls", sa.Integer, nullable=False, default=0),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    # Where it goes on after a pause, as the agents service gave it; null unless it was paused.
    sa.Column("paused", sa.Text),
)

# A run's timeline, and the outbox of what is to be published.
run_events = sa.Table(
    "run_events",
    metadata,
    sa.Column("run_id", ID, sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("user_id", ID, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("type", sa.String(50), nullable=False),
    sa.Column("payload", Json, nullable=False),
    sa.Column("final", sa.Boolean, nullable=False, default=False),
    # The event's id in the stream; null until the stream has acknowledged it.
    sa.Column("published", sa.String(100)),
    sa.Column("created_at", UtcDateTime, nullable=False),
)
sa.Index(
    "ix_run_events_unpublished",
    run_events.c.created_at,
    sqlite_where=run_events.c.published.is_(None),
    postgresql_where=run_events.c.published.is_(None),
)

# What waits, or waited, for its user's decision.
approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("run_id", ID, sa.ForeignKey("runs.id"), nullable=False),
    sa.Column("task_id", sa.String(100)),
    sa.Column("user_id", ID, nullable=False),
    # Of the event that asked: in this order.
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("payload", Json, nullable=False),
    # What changes are held against; see Question.
    sa.Column("schema", Json, nullable=False, default=dict),
    sa.Column("changed", Json),
    sa.Column("scope", sa.String(10)),
    sa.Column("reason", sa.Text),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("decided_at", UtcDateTime),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Index("ux_approvals_run", "run_id", "n", unique=True),
    sa.Index("ix_approvals_owner", "user_id", "created_at"),
)
IS_PENDING = approvals.c.state == sa.bindparam("pending", ApprovalState.PENDING, literal_execute=True)
sa.Index("ix_approvals_pending", approvals.c.expires_at, sqlite_where=IS_PENDING, postgresql_where=IS_PENDING)

# The doors through which rows leave. What belongs to a session or a run has its user; its project is its parent's.
own_projects = OwnerGuard("projects")
own_sessions = OwnerGuard("chat_sessions")
own_messages = OwnerGuard("messages", project=None)
own_runs = OwnerGuard("runs")
own_tasks = OwnerGuard("run_tasks", project=None)
own_events = OwnerGuard("run_events", project=None)
own_approvals = OwnerGuard("approvals", project=None)
