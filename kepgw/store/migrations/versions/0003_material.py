"""material: what keeps signatures verifiable for long"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _big() -> Any:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table; it fills at the next start."""
    op.create_table(
        "material",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("about", sa.LargeBinary(), nullable=False),
        sa.Column("above", sa.LargeBinary(), nullable=True),
        sa.Column("begins", _big(), nullable=False),
        sa.Column("ends", _big(), nullable=False),
        sa.Column("fetched", _big(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("material_by_subject", "material", ["about", "kind", "begins"])


def downgrade() -> None:
    """Forget the material: later verifications lack it."""
    op.drop_table("material")
