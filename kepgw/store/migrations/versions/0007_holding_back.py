"""work and peers that an administrator holds back"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def _big() -> Any:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the column and make the table."""
    op.add_column("task", sa.Column("held", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "peer_hold",
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", _big(), nullable=False),
        sa.PrimaryKeyConstraint("domain"),
    )


def downgrade() -> None:
    """Forget what is held back: it is tried again when it is due."""
    op.drop_table("peer_hold")
    op.drop_column("task", "held")
