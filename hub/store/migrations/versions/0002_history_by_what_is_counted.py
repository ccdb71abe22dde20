"""History by what is counted: a page of what people opened is found without looking through all that machines did"""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.drop_index("opens_of_message", "opens")
    op.drop_index("opens_of_user", "opens")
    op.create_index("opens_of_message", "opens", ["message_id", "counted", "id"], unique=False)
    op.create_index("opens_of_user", "opens", ["user_id", "counted", "id"], unique=False)
