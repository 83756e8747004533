"""the ledger: a Merkle tree over the evidence, and its signed heads

The evidence that is there already becomes the first leaves. The format of a leaf never changes, so that this may use
the code that also makes new ones.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

from kepgw.errors import StoreError
from kepgw.evidence import merkle
from kepgw.evidence.ledger import Record

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PAGE = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _big() -> Any:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables and grow the tree."""
    op.create_table(
        "ledger_node",
        sa.Column("id", _big(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "ledger_tree",
        sa.Column("id", _big(), nullable=False),
        sa.Column("size", _big(), nullable=False),
        sa.Column("edge", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "ledger_head",
        sa.Column("size", _big(), nullable=False),
        sa.Column("time", _big(), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("size"),
    )
    _grow(op.get_bind())


def downgrade() -> None:
    """Forget the tree; it can be made again, its heads cannot."""
    op.drop_table("ledger_head")
    op.drop_table("ledger_tree")
    op.drop_table("ledger_node")


def _grow(connection: sa.Connection) -> None:
    size, edge = 0, list[bytes]()
    while True:
        rows = connection.exec_driver_sql(
            "SELECT seq, id, month, blob, code, issuer, own, event_time, message, dispatch, ordinal, reason"
            " FROM evidence WHERE seq > ? ORDER BY seq LIMIT ?",
            (size, PAGE),
        ).fetchall()
        if not rows:
            break
        made: list[tuple[int, bytes]] = []
        for row in rows:
            if row.seq != size + 1:
                raise StoreError(f"evidence {size + 1} is missing from the store: restore a backup that has it")
            record = Record(
                seq=row.seq,
                identifier=row.id,
                digest=_digest(connection, row.month, row.blob),
                code=row.code,
                issuer=row.issuer,
                own=bool(row.own),
                event_time=_EPOCH + timedelta(microseconds=row.event_time),
                month=row.month,
                message=row.message,
                dispatch=row.dispatch,
                ordinal=row.ordinal,
                reason=row.reason,
            )
            edge, grown = merkle.grow(size, edge, record.leaf())
            made += enumerate(grown, merkle.number(0, size))
            size += 1
        connection.exec_driver_sql("INSERT INTO ledger_node (id, hash) VALUES (?, ?)", made)
    if size:
        connection.exec_driver_sql("INSERT INTO ledger_tree (id, size, edge) VALUES (1, ?, ?)", (size, b"".join(edge)))


def _digest(connection: sa.Connection, month: int, blob: int) -> bytes:
    digest = hashlib.sha256()
    chunks = connection.exec_driver_sql(
        "SELECT data FROM blob_chunk WHERE month = ? AND blob = ? ORDER BY seq", (month, blob)
    )
    for (data,) in chunks:
        digest.update(data)
    return digest.digest()
