"""the digest of what a dispatch seals: since there are two profiles it may be another than that of the original"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """So far every dispatch sealed the original itself."""
    op.add_column("dispatch", sa.Column("digest", sa.LargeBinary(), nullable=True))
    op.execute(
        "UPDATE dispatch SET digest = (SELECT digest FROM message"
        " WHERE message.month = dispatch.month AND message.id = dispatch.message)"
    )
    with op.batch_alter_table("dispatch") as batch:
        batch.alter_column("digest", nullable=False, existing_type=sa.LargeBinary())


def downgrade() -> None:
    """Forget it; dispatches of the REM baseline cannot be answered any more."""
    with op.batch_alter_table("dispatch") as batch:
        batch.drop_column("digest")
