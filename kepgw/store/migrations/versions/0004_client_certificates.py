"""certificates with which operators log in"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _big() -> Any:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "operator_certificate",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("operator", _big(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("not_after", _big(), nullable=False),
        sa.Column("created", _big(), nullable=False),
        sa.ForeignKeyConstraint(["operator"], ["operator.id"]),
        sa.PrimaryKeyConstraint("sha256"),
    )


def downgrade() -> None:
    """Forget who has which certificate."""
    op.drop_table("operator_certificate")
