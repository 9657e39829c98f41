"""First tables: file states, generated files, results, knots, fingerprints, facts, holders, owners, glances.

Revision 0001, the first.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_STATE = ("size", "mtime_ns", "ctime_ns", "inode")


def upgrade() -> None:
    """To the new schema."""
    op.create_table("files", _key("path"), *map(_number, _STATE), _text("digest"), _number("checked_ns"), sqlite_with_rowid=False)
    op.create_table("written", _key("path"), _text("step"), _text("digest"), sqlite_with_rowid=False)
    for name in ("results", "knots", "fingerprints"):
        op.create_table(name, _key("name"), _blob("body"))
    op.create_table("facts", _key("name"), _text("value"))
    op.create_table("artefacts", _id(), _text("digest"), sa.UniqueConstraint("digest"))
    op.create_table("holdings", _id(), _number("size"), _blob("pods"))
    op.create_table("pods", _id(), _text("name"), sa.UniqueConstraint("name"))
    op.create_table("owners", _key("path"), _number("epoch"), _text("pod"), _text("digest"), sqlite_with_rowid=False)
    op.create_table("glances", _id(), _text("key"), _text("header"), _text("summary"), sa.UniqueConstraint("key"))
    glance = sa.Column("glance", sa.Integer, primary_key=True, nullable=False)
    rows = (*map(_number, _STATE), _text("digest"), _number("checked_ns"))
    op.create_table("glance_files", glance, _key("path"), *rows, sqlite_with_rowid=False)


def downgrade() -> None:
    """Back to an empty file."""
    for name in ("glance_files", "glances", "owners", "pods", "holdings", "artefacts", "facts"):
        op.drop_table(name)
    for name in ("fingerprints", "knots", "results", "written", "files"):
        op.drop_table(name)


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.Integer, primary_key=True)


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=True, nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def _blob(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=False)
