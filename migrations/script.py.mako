"""${message}.

Revision ${up_revision}, after ${down_revision | comma,n}. Set HEAD_REVISION in cpods/store/migrate.py to it.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """To the new schema."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Back to the old one."""
    ${downgrades if downgrades else "pass"}
