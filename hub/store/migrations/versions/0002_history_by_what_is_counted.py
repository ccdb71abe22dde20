"""History by what is counted: a page of people's opens is found without looking through all those of machines

The new indexes come before the old ones go: on PostgreSQL the opens can be read until the very end.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_index("history_of_message", "opens", ["message_id", "counted", "id"], unique=False)
    op.create_index("history_of_user", "opens", ["user_id", "counted", "id"], unique=False)
    op.create_index(
        "opens_early_on_pixel",
        "opens",
        ["message_id", "position", "id"],
        unique=False,
        sqlite_where=sa.text("client_hash IS NOT NULL"),
        postgresql_where=sa.text("client_hash IS NOT NULL"),
    )
    op.drop_index("opens_of_message", "opens")
    op.drop_index("opens_of_user", "opens")
