"""What alembic runs to apply the steps: on a connection and in a transaction that it is given."""

from __future__ import annotations

from alembic import context

from tidemark.money.ledger_schema import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
