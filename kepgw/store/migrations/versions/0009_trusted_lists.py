"""the editions of trusted lists and capability files, as they were taken"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def _big() -> Any:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "trust_list",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("sequence", _big(), nullable=False),
        sa.Column("issued", _big(), nullable=False),
        sa.Column("taken", _big(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", "subject", "sequence"),
    )


def downgrade() -> None:
    """Forget what was listed."""
    op.drop_table("trust_list")
