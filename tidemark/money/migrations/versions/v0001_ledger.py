"""The first ledger: whose it is, runs, quotes, approvals, reservations and leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "tidemark_installation",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("installation", sa.String(32), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.CheckConstraint("id = 1", name="tidemark_installation_one"),
    )
    op.create_table(
        "tidemark_runs",
        sa.Column("run_id", sa.String(256), primary_key=True),
        sa.Column("flow_run_id", sa.String(256), unique=True),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("name", sa.String(256)),
        sa.Column("plan_hash", sa.String(64), nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("requested_by", sa.String(256)),
        sa.Column("trigger", sa.String(64), nullable=False),
        sa.Column("trigger_ref", sa.Text),
        sa.Column("night", sa.String(10), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("line", sa.Text, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("updated_at", sa.String(32), nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("exit_status", sa.Integer),
        sa.Column("cancel_asked", sa.Text),
    )
    op.create_index("tidemark_runs_night", "tidemark_runs", ["night"])
    op.create_index("tidemark_runs_month", "tidemark_runs", ["month"])
    op.create_table(
        "tidemark_quotes",
        sa.Column("quote_id", sa.String(256), primary_key=True),
        sa.Column("run_id", sa.String(256), sa.ForeignKey("tidemark_runs.run_id"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
    )
    op.create_index("tidemark_quotes_run", "tidemark_quotes", ["run_id", "number"], unique=True)
    op.create_table(
        "tidemark_approvals",
        sa.Column("approval_id", sa.String(256), primary_key=True),
        sa.Column(
            "quote_id",
            sa.String(256),
            sa.ForeignKey("tidemark_quotes.quote_id"),
            nullable=False,
            unique=True,
        ),
        sa.Column("run_id", sa.String(256), sa.ForeignKey("tidemark_runs.run_id"), nullable=False),
        sa.Column("plan_hash", sa.String(64), nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("up_to", sa.BigInteger),
        sa.Column("currency", sa.String(3)),
        sa.Column("claimed_by", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("decided_at", sa.String(32), nullable=False),
        sa.Column("rule", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_table(
        "tidemark_reservations",
        sa.Column(
            "run_id", sa.String(256), sa.ForeignKey("tidemark_runs.run_id"), primary_key=True
        ),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("is_open", sa.Boolean, nullable=False),
        sa.Column("changed_at", sa.String(32), nullable=False),
    )
    op.create_table(
        "tidemark_leases",
        sa.Column("lease_id", sa.String(256), primary_key=True),
        sa.Column("run_id", sa.String(256), sa.ForeignKey("tidemark_runs.run_id"), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("region", sa.String(64), nullable=False),
        sa.Column("workspace_id", sa.String(256)),
        sa.Column("resource_id", sa.String(256)),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("price_per_hour", sa.BigInteger),
        sa.Column("currency", sa.String(3)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("intended_at", sa.String(32), nullable=False),
        sa.Column("renewed_at", sa.String(32), nullable=False),
        sa.Column("expires_at", sa.String(32), nullable=False),
        sa.Column("not_after", sa.String(32), nullable=False),
        sa.Column("released_at", sa.String(32)),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("billable_s", sa.Float, nullable=False),
        sa.Column("metered", sa.BigInteger),
        sa.Column("metered_at", sa.String(32)),
    )
    op.create_index("tidemark_leases_run", "tidemark_leases", ["run_id"])
    op.create_index("tidemark_leases_state", "tidemark_leases", ["state"])


def downgrade() -> None:
    """Remove the tables, the last ones first."""
    for name in ("leases", "reservations", "approvals", "quotes", "runs", "installation"):
        op.drop_table(f"tidemark_{name}")
