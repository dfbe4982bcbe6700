"""What Alembic runs to migrate: `database.py` has opened the connection, and holds the lock."""

from alembic import context

from projects.ws_chat.store.schema import METADATA


def run() -> None:
    """Migrate on the connection that was given, within its transaction."""
    context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
    context.run_migrations()


if __name__ == "env_py":  # so Alembic names it; whoever only imports it changes nothing
    run()
