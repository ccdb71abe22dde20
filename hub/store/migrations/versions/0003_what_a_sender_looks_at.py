"""How often a sender looked at a message: a batch that was judged before they did has to be judged again"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("users", sa.Column("views", sa.BigInteger(), nullable=False, server_default="0"))
