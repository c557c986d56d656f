"""Which file the ledger was made in, so that a copy of it is told from the ledger itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the mark; it is noted when the ledger is opened next."""
    op.add_column("tidemark_installation", sa.Column("file_mark", sa.String(64)))
