"""how much an account keeps, and how much it may"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def _big() -> Any:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns and count what is there."""
    op.add_column("account", sa.Column("quota", _big()))
    op.add_column("mailbox", sa.Column("octets", _big(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE mailbox SET octets = coalesce("
        "(SELECT sum(size) FROM mail WHERE mail.mailbox = mailbox.id AND mail.kind <> 'receipt'), 0)"
    )


def downgrade() -> None:
    """Forget both."""
    op.drop_column("mailbox", "octets")
    op.drop_column("account", "quota")
