"""Drops the tables of the null-build check: what a build stood on lies in files of columns now, in ``.cpods/standing``.

Revision 0002. Nothing is lost with their rows: the next build writes its columns.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NUMBERS = ("size", "mtime_ns", "ctime_ns", "inode")


def upgrade() -> None:
    """To the new schema."""
    op.drop_table("glance_files")
    op.drop_table("glances")


def downgrade() -> None:
    """Back to 0001, with empty tables."""
    op.create_table(
        "glances",
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("key", "header", "summary")),
        sa.UniqueConstraint("key"),
    )
    op.create_table(
        "glance_files",
        sa.Column("glance", sa.Integer, primary_key=True, nullable=False),
        sa.Column("path", sa.Text, primary_key=True, nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in _NUMBERS),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("checked_ns", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
