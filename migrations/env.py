"""Where Alembic meets the catalogue: runs revisions on the connection that cpods.store.migrate hands over.

Knows no revision. By hand: ``alembic -x database=.cpods/catalogue.db upgrade head``, with this folder as script_location.
"""

from alembic import context
from sqlalchemy import URL, Connection, create_engine

from cpods.store.schema import metadata


def run(connection: Connection) -> None:
    """Runs the revisions that Alembic was asked for."""
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    """Takes the caller's connection, or opens the database named on the command line."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        run(connection)
        return
    engine = create_engine(URL.create("sqlite", database=context.get_x_argument(as_dictionary=True)["database"]))
    with engine.begin() as opened:
        run(opened)


main()
