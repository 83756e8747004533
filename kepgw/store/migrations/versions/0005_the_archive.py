"""the archive: evidence records (RFC 4998), legal hold, recorded deletion; and where tree heads are sent"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _big() -> Any:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables; what is in the store already is archived by the next run."""
    op.create_table(
        "archive_volume",
        sa.Column("id", _big(), nullable=False),
        sa.Column("first_seq", _big(), nullable=False),
        sa.Column("last_seq", _big(), nullable=False),
        sa.Column("after_head", _big(), nullable=False),
        sa.Column("last_head", _big(), nullable=False),
        sa.Column("after_material", _big(), nullable=False),
        sa.Column("last_material", _big(), nullable=False),
        sa.Column("groups", _big(), nullable=False),
        sa.Column("opened", _big(), nullable=False),
        sa.Column("stamp", _big(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("archive_volume_by_seq", "archive_volume", ["last_seq"])
    op.create_index("archive_volume_by_stamp", "archive_volume", ["stamp"])
    op.create_table(
        "archive_material",
        sa.Column("number", _big(), nullable=False),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id"),
    )
    op.create_table(
        "archive_document",
        sa.Column("volume", _big(), nullable=False),
        sa.Column("place", _big(), nullable=False),
        sa.Column("ordinal", _big(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("month", _big(), nullable=False),
        sa.Column("ref", _big(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("volume", "place", "ordinal"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "archive_chain",
        sa.Column("volume", _big(), nullable=False),
        sa.Column("chain", _big(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("done", _big(), nullable=False),
        sa.Column("ends", _big(), nullable=True),
        sa.Column("root", sa.LargeBinary(), nullable=True),
        sa.Column("stamp", _big(), nullable=True),
        sa.Column("place", _big(), nullable=False),
        sa.PrimaryKeyConstraint("volume", "chain"),
        sqlite_with_rowid=False,
    )
    op.create_index("archive_chain_by_stamp", "archive_chain", ["stamp", "place"])
    op.create_table(
        "archive_hash",
        sa.Column("volume", _big(), nullable=False),
        sa.Column("chain", _big(), nullable=False),
        sa.Column("place", _big(), nullable=False),
        sa.Column("ordinal", _big(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("volume", "chain", "place", "ordinal"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "archive_stamp",
        sa.Column("id", _big(), nullable=False),
        sa.Column("time", _big(), nullable=False),
        sa.Column("expires", _big(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("next", _big(), nullable=True),
        sa.Column("place", _big(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("archive_stamp_by_next", "archive_stamp", ["next", "place"])
    op.create_table(
        "deletion",
        sa.Column("seq", _big(), nullable=False),
        sa.Column("time", _big(), nullable=False),
        sa.Column("month", _big(), nullable=False),
        sa.Column("message", _big(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("deletion_by_message", "deletion", ["month", "message"])
    op.create_table(
        "deleted_evidence",
        sa.Column("seq", _big(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("deletion", _big(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_table(
        "legal_hold",
        sa.Column("id", _big(), nullable=False),
        sa.Column("month", _big(), nullable=False),
        sa.Column("message", _big(), nullable=False),
        sa.Column("placed", _big(), nullable=False),
        sa.Column("placed_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("released", _big(), nullable=True),
        sa.Column("released_by", sa.Text(), nullable=False),
        sa.Column("release_reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("legal_hold_by_message", "legal_hold", ["month", "message"])
    op.create_table(
        "head_sink",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", _big(), nullable=False),
        sa.Column("changed", _big(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def downgrade() -> None:
    """Forget the archive; what was deleted stays deleted, and its records are gone from the ledger."""
    for name in (
        "head_sink",
        "legal_hold",
        "deleted_evidence",
        "deletion",
        "archive_stamp",
        "archive_hash",
        "archive_chain",
        "archive_document",
        "archive_material",
        "archive_volume",
    ):
        op.drop_table(name)
