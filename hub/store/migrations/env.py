"""Alembic's entry: runs the migrations on the connection that `store.migrate` hands over."""

from alembic import context

from hub.store.schema import compared, metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, include_object=compared(connection.dialect.name))
context.run_migrations()
