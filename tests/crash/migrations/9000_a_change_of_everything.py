"""A migration that passes through wrong states: if only half of it were committed, a recount would find out."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

import hub.store.migrations as ours

revision = "9000"
down_revision = max(path.name[:4] for path in Path(ours.__path__[0], "versions").glob("[0-9]*.py"))


def upgrade() -> None:
    op.add_column("opens", sa.Column("note", sa.Text(), nullable=True))
    op.execute("UPDATE messages SET hits = hits + 1000")
    op.execute("UPDATE users SET sequence = sequence + 1")
    op.execute("UPDATE opens SET note = 'moved'")
    op.execute("UPDATE users SET sequence = sequence - 1")
    op.execute("UPDATE messages SET hits = hits - 1000")
    op.create_index("opens_with_a_note", "opens", ["note"])
