"""Search by trigrams: a search need not look through every message of its sender

Needs nothing that a hosted PostgreSQL could refuse. An SQLite without FTS5 and its trigrams (before 3.34) gets no
index, and looks through all messages as before. The triggers are made before the messages that are there are indexed,
so that none is missed: on PostgreSQL, making them waits for whoever writes and then lets nobody write until the end.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

Id = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

# The same as `hub.store.search.owner_mark`.
OWNER = "upper(substr({row}.user_id, -3))"

# A text becomes letters, each letter with the next two a trigram, and its hash with the user's id is that user's alone.
# `hub.store.search` makes trigrams of what is searched for in the same way.
TRIGRAMS_OF = """
CREATE FUNCTION trigrams_of(owner text, words text) RETURNS integer[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT hashtext(owner || first || second || third)), '{}')
    FROM (
        SELECT letter AS first, lead(letter, 1) OVER along AS second, lead(letter, 2) OVER along AS third
        FROM unnest(string_to_array(words, NULL)) WITH ORDINALITY AS letters (letter, place)
        WINDOW along AS (ORDER BY place)
    ) AS trigrams
    WHERE third IS NOT NULL
$$
"""
KEEP_TRIGRAMS = """
CREATE FUNCTION keep_message_trigrams() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO message_trigrams (message_id, trigrams) VALUES (NEW.id, trigrams_of(NEW.user_id, NEW.search));
    RETURN NULL;
END
$$
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _on_postgresql()
    elif _has_trigrams():
        _on_sqlite()


def _on_postgresql() -> None:
    op.create_table(
        "message_trigrams",
        sa.Column("message_id", Id, nullable=False),
        sa.Column("trigrams", sa.ARRAY(sa.Integer()), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("message_id"),
    )
    op.execute(TRIGRAMS_OF)
    op.execute(KEEP_TRIGRAMS)
    op.execute(
        "CREATE TRIGGER message_trigrams_kept AFTER INSERT ON messages"
        " FOR EACH ROW EXECUTE FUNCTION keep_message_trigrams()"
    )
    op.execute("INSERT INTO message_trigrams SELECT id, trigrams_of(user_id, search) FROM messages")
    op.create_index(
        "messages_by_trigram",
        "message_trigrams",
        ["trigrams"],
        unique=False,
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": 256},
    )


def _has_trigrams() -> bool:
    version, has_fts5 = (
        op.get_bind()
        .execute(sa.text("SELECT sqlite_version(), (SELECT count(*) FROM pragma_module_list WHERE name = 'fts5')"))
        .one()
    )
    return bool(has_fts5) and tuple(map(int, version.split("."))) >= (3, 34)


def _on_sqlite() -> None:
    op.execute(
        "CREATE VIRTUAL TABLE message_search USING fts5(owner, words, content='', columnsize=0, detail=none,"
        " tokenize='trigram case_sensitive 1')"
    )
    op.execute(
        "CREATE TRIGGER message_search_added AFTER INSERT ON messages BEGIN"
        " INSERT INTO message_search (rowid, owner, words)"
        f" VALUES (NEW.rowid, {OWNER.format(row='NEW')}, NEW.search); END"
    )
    op.execute(
        "CREATE TRIGGER message_search_removed AFTER DELETE ON messages BEGIN"
        " INSERT INTO message_search (message_search, rowid, owner, words)"
        f" VALUES ('delete', OLD.rowid, {OWNER.format(row='OLD')}, OLD.search); END"
    )
    op.execute(
        "INSERT INTO message_search (rowid, owner, words)"
        f" SELECT rowid, {OWNER.format(row='messages')}, search FROM messages"
    )
    # Otherwise the first messages to come would pay for putting the index's parts together.
    op.execute("INSERT INTO message_search (message_search) VALUES ('optimize')")
