"""The one description of the schema. Alembic migrations are written from it and a test holds them together.

``month`` (``yyyymm`` of T0, the submission time, UTC) is part of the primary key of every row that belongs to a
message, so that a store with many years in it can be partitioned; keys that must be unique over all time stand in
``idempotency``. Times are integers, microseconds since 1970 UTC. Identifiers are 63-bit integers (kepgw.store.ids).
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text

metadata = MetaData()

Big = BigInteger().with_variant(Integer(), "sqlite")  # SQLite makes a rowid of INTEGER only

counter = Table(
    "counter",
    metadata,
    Column("name", Text, primary_key=True),  # "evidence": the gap-free evidence sequence of this provider
    Column("value", Big, nullable=False),
)

account = Table(
    "account",
    metadata,
    Column("id", Big, primary_key=True),
    Column("address", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),  # active | disabled | closed
    Column("created", Big, nullable=False),
    Column("quota", Big),  # octets; none: that of the configuration
)

operator = Table(
    "operator",
    metadata,
    Column("id", Big, primary_key=True),
    Column("account", Big, ForeignKey("account.id"), nullable=False),
    Column("login", Text, nullable=False, unique=True),  # "address" (the main one) or "address/operator"
    Column("name", Text, nullable=False),
    Column("rights", Big, nullable=False),  # kepgw.accounts.rights.Right
    Column("state", Text, nullable=False),  # active | disabled
    Column("argon2", Text, nullable=False),
    Column("scram_sha256", Text, nullable=False),
    Column("created", Big, nullable=False),
)

# who comes with a TLS client certificate (SASL EXTERNAL)
operator_certificate = Table(
    "operator_certificate",
    metadata,
    Column("sha256", Text, primary_key=True),  # of the DER certificate, hex
    Column("operator", Big, ForeignKey("operator.id"), nullable=False),
    Column("subject", Text, nullable=False),  # RFC 4514, for people
    Column("not_after", Big, nullable=False),
    Column("created", Big, nullable=False),
)

blob = Table(
    "blob",
    metadata,
    Column("month", Big, primary_key=True),
    Column("id", Big, primary_key=True),
    Column("size", Big, nullable=False),
    sqlite_with_rowid=False,
)

# octets in pieces, so that neither a write nor a read ever holds a whole large message
blob_chunk = Table(
    "blob_chunk",
    metadata,
    Column("month", Big, primary_key=True),
    Column("blob", Big, primary_key=True),
    Column("seq", Big, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

# a readable message (original, dispatch, receipt): spans over blobs, and what IMAP shows of it, rendered once
content = Table(
    "content",
    metadata,
    Column("month", Big, primary_key=True),
    Column("id", Big, primary_key=True),
    Column("size", Big, nullable=False),
    Column("spans", Text, nullable=False),  # JSON [[blob, offset, length], ...]
    Column("header", LargeBinary, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("bodystructure", LargeBinary, nullable=False),
    Column("tree", LargeBinary, nullable=False),
)

message = Table(
    "message",
    metadata,
    Column("month", Big, primary_key=True),
    Column("id", Big, primary_key=True),
    Column("direction", Text, nullable=False),  # out: submitted here | in: came from a peer
    Column("account", Big),  # of the sender, direction out
    Column("operator", Big),
    Column("peer", Text),  # the sending provider, direction in
    Column("sender", Text, nullable=False),
    Column("sender_name", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("ua_message_id", Text, nullable=False),  # Message-ID of the original, as received, without brackets changed
    Column("t0", Big, nullable=False),
    Column("size", Big, nullable=False),
    Column("eight_bit", Big, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # SHA-256, of the original
    Column("content", Big),  # the original
    Column("facts", Text, nullable=False),  # JSON: To, Cc, X-TR-REM-*, DSN parameters, authentication
    Column("state", Text, nullable=False),  # accepted | refused
    Index("message_by_account", "account", "t0"),
)

dispatch = Table(
    "dispatch",
    metadata,
    Column("month", Big, primary_key=True),
    Column("id", Big, primary_key=True),
    Column("message", Big, nullable=False),
    Column("remmd_id", Text, nullable=False),  # MessageIdentifierByREMMD, TS 102 640-2 B.1.15
    Column("evidence_id", Text, nullable=False),  # of evidence 10, fixed before the 250
    Column("blind", Big, nullable=False),
    Column("profile", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # SHA-256 of the form that the profile seals
    Column("state", Text, nullable=False),  # accepted | issued | received
    Column("content", Big),  # the sealed dispatch
    Column("issued", Big),
    Index("dispatch_by_message", "month", "message"),
)

recipient = Table(
    "recipient",
    metadata,
    Column("month", Big, primary_key=True),
    Column("dispatch", Big, primary_key=True),
    Column("ordinal", Big, primary_key=True),  # 1-based, the index in RecipientsDetails of every evidence
    Column("address", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("account", Big),  # when the mailbox is here
    Column("state", Text, nullable=False),  # kepgw.journey.states
    Column("changed", Big, nullable=False),
    Column("proofs", Text, nullable=False),  # KEP codes seen so far, space separated
)

evidence = Table(
    "evidence",
    metadata,
    Column("month", Big, primary_key=True),
    Column("id", Text, primary_key=True),  # EvidenceIdentifier
    Column("seq", Big, nullable=False, unique=True),
    Column("dispatch", Big),  # none for evidence 11 of a message refused whole
    Column("message", Big, nullable=False),
    Column("ordinal", Big),  # the recipient it refers to; none: all of its issuer
    Column("code", Big, nullable=False),
    Column("issuer", Text, primary_key=True),  # provider domain; no peer can use up another's identifiers
    Column("own", Big, nullable=False),
    Column("event_time", Big, nullable=False),
    Column("reason", Text, nullable=False),
    Column("blob", Big, nullable=False),  # the XML octets, as signed
    Column("receipt", Big),  # content that carries it
    Index("evidence_by_message", "month", "message"),
)

# the ledger, a Merkle tree over the evidence by seq (RFC 6962): every perfect subtree, in the order of their coming
ledger_node = Table(
    "ledger_node",
    metadata,
    Column("id", Big, primary_key=True),  # kepgw.evidence.merkle.number
    Column("hash", LargeBinary, nullable=False),
)

# its size and right edge, one row: what the next leaf needs
ledger_tree = Table(
    "ledger_tree",
    metadata,
    Column("id", Big, primary_key=True),  # 1
    Column("size", Big, nullable=False),
    Column("edge", LargeBinary, nullable=False),  # the hashes one after another
)

ledger_head = Table(
    "ledger_head",
    metadata,
    Column("size", Big, primary_key=True),
    Column("time", Big, nullable=False),
    Column("statement", LargeBinary, nullable=False),  # kepgw.evidence.ledger.Statement, as signed
    Column("signature", LargeBinary, nullable=False),  # CMS, DER
    Column("token", LargeBinary, nullable=False),  # RFC 3161, DER
)

# the archive (RFC 4998): a volume is what went under one initial archive time stamp, a run of ledger records and heads
archive_volume = Table(
    "archive_volume",
    metadata,
    Column("id", Big, primary_key=True),  # from 1 without gaps
    Column("first_seq", Big, nullable=False),  # ledger records, both inclusive; none when last_seq < first_seq
    Column("last_seq", Big, nullable=False),
    Column("after_head", Big, nullable=False),  # ledger heads of sizes above this
    Column("last_head", Big, nullable=False),  # and up to this
    Column("after_material", Big, nullable=False),  # archive_material of numbers above this
    Column("last_material", Big, nullable=False),  # and up to this
    Column("groups", Big, nullable=False),  # data object groups: the records, then the heads, then the material
    Column("opened", Big, nullable=False),
    Column("stamp", Big),  # archive_stamp that protects it now; none: not stamped yet
    Index("archive_volume_by_seq", "last_seq"),
    Index("archive_volume_by_stamp", "stamp"),
)

# validation material in the order in which it came into the archive
archive_material = Table(
    "archive_material",
    metadata,
    Column("number", Big, primary_key=True),  # from 1 without gaps
    Column("id", LargeBinary, nullable=False, unique=True),  # of material
)

# the documents of each group with their digests in the volume's first chain; an empty one: not sound, not covered
archive_document = Table(
    "archive_document",
    metadata,
    Column("volume", Big, primary_key=True),
    Column("place", Big, primary_key=True),  # of the group in the volume, from 0
    Column("ordinal", Big, primary_key=True),
    Column("kind", Text, nullable=False),  # kepgw.store.archivedocuments.Kind
    Column("month", Big, nullable=False),
    Column("ref", Big, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# a chain of archive time stamps of a volume: 0 the initial one, each further one a hash-tree renewal
archive_chain = Table(
    "archive_chain",
    metadata,
    Column("volume", Big, primary_key=True),
    Column("chain", Big, primary_key=True),
    Column("algorithm", Text, nullable=False),
    Column("done", Big, nullable=False),  # groups that are hashed
    Column("ends", Big),  # archive_stamp that the chain before ended with
    Column("root", LargeBinary),  # of the volume's hash tree
    Column("stamp", Big),  # archive_stamp over the root, or over a tree of several roots
    Column("place", Big, nullable=False),  # of the root in that tree
    Index("archive_chain_by_stamp", "stamp", "place"),
    sqlite_with_rowid=False,
)

# digests of the documents in the chains of hash-tree renewals (RFC 4998 5.2)
archive_hash = Table(
    "archive_hash",
    metadata,
    Column("volume", Big, primary_key=True),
    Column("chain", Big, primary_key=True),
    Column("place", Big, primary_key=True),
    Column("ordinal", Big, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

archive_stamp = Table(
    "archive_stamp",
    metadata,
    Column("id", Big, primary_key=True),
    Column("time", Big, nullable=False),
    Column("expires", Big, nullable=False),  # end of the authority's certificate
    Column("algorithm", Text, nullable=False),
    Column("token", LargeBinary, nullable=False),  # RFC 3161, DER
    Column("hash", LargeBinary, nullable=False),  # of the token, by the algorithm
    Column("next", Big),  # archive_stamp that renewed this one
    Column("place", Big, nullable=False),  # of this one's token in that one's tree
    Index("archive_stamp_by_next", "next", "place"),
)

# a deletion from the archive is a record of the ledger
deletion = Table(
    "deletion",
    metadata,
    Column("seq", Big, primary_key=True),
    Column("time", Big, nullable=False),
    Column("month", Big, nullable=False),
    Column("message", Big, nullable=False),
    Column("record", LargeBinary, nullable=False),  # kepgw.evidence.ledger.Deletion, as hashed
    Index("deletion_by_message", "month", "message"),
)

# what the ledger's record of a deleted evidence needs of its octets
deleted_evidence = Table(
    "deleted_evidence",
    metadata,
    Column("seq", Big, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("deletion", Big, nullable=False),  # seq of the deletion
)

legal_hold = Table(
    "legal_hold",
    metadata,
    Column("id", Big, primary_key=True),
    Column("month", Big, nullable=False),
    Column("message", Big, nullable=False),
    Column("placed", Big, nullable=False),
    Column("placed_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("released", Big),  # none: in force
    Column("released_by", Text, nullable=False),
    Column("release_reason", Text, nullable=False),
    Index("legal_hold_by_message", "month", "message"),
)

# where signed tree heads are sent, and how far each place is
head_sink = Table(
    "head_sink",
    metadata,
    Column("name", Text, primary_key=True),
    Column("size", Big, nullable=False),  # of the newest head that arrived there
    Column("changed", Big, nullable=False),
    Column("error", Text, nullable=False),  # of the last attempt; empty: it went well
)

mailbox = Table(
    "mailbox",
    metadata,
    Column("id", Big, primary_key=True),
    Column("account", Big, ForeignKey("account.id"), nullable=False),
    Column("name", Text, nullable=False),  # UTF-8, "/" separates levels
    Column("special_use", Text, nullable=False),  # \Sent ... or ""
    Column("uidvalidity", Big, nullable=False),
    Column("uidnext", Big, nullable=False),
    Column("modseq", Big, nullable=False),
    Column("subscribed", Big, nullable=False),
    Column("octets", Big, nullable=False, server_default="0"),  # of its mail, receipts not counted
    Index("mailbox_by_name", "account", "name", unique=True),
)

mail = Table(
    "mail",
    metadata,
    Column("mailbox", Big, primary_key=True),
    Column("uid", Big, primary_key=True),
    Column("month", Big, primary_key=True),
    Column("content", Big, nullable=False),
    Column("size", Big, nullable=False),
    Column("kind", Text, nullable=False),  # dispatch | original | receipt | mail
    Column("message", Big),  # none for drafts and other mail of the user's own
    Column("dispatch", Big),
    Column("ordinal", Big),
    Column("internal_date", Big, nullable=False),
    Column("flags", Text, nullable=False),  # system flags and keywords, space separated, sorted
    Column("modseq", Big, nullable=False),
    Column("served", Big),  # when its body was first given to an operator with the read right
    Column("recent", Big, nullable=False),
    Index("mail_by_message", "month", "message"),
    sqlite_with_rowid=False,
)

task = Table(
    "task",
    metadata,
    Column("id", Big, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("month", Big, nullable=False),
    Column("message", Big, nullable=False),
    Column("dispatch", Big),
    Column("ordinal", Big),
    Column("lane", Text, nullable=False),  # what it waits in line with: "sign", "timer", or a peer's domain
    Column("due", Big, nullable=False),
    Column("deadline", Big),
    Column("attempts", Big, nullable=False),
    Column("payload", Text, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("created", Big, nullable=False),
    Column("held", Text, nullable=False, server_default=""),  # why an administrator holds it back; "" when nobody does
    Index("task_by_due", "lane", "due"),
    Index("task_by_message", "month", "message"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("month", Big, nullable=False),
    Column("ref", Big, nullable=False),
    Column("mark", LargeBinary, nullable=False),  # what must be equal for a repetition to be the same thing
    sqlite_with_rowid=False,
)

peer = Table(
    "peer",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("service_address", Text, nullable=False, unique=True),
    Column("card", Text, nullable=False),  # the provider card as received, TOML
    Column("added", Big, nullable=False),
)

# peers to whom nothing is given for now, by an administrator's word; a new card does not end it
peer_hold = Table(
    "peer_hold",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("since", Big, nullable=False),
)

# what keeps signatures verifiable: certificates, CRLs and OCSP responses, each once, never changed (ADR 24)
material = Table(
    "material",
    metadata,
    Column("id", LargeBinary, primary_key=True),  # SHA-256 of octets
    Column("kind", Text, nullable=False),  # certificate | crl | ocsp
    # a certificate: its key as an issuer; a CRL: its issuer's (kepgw.trust.material.authority); OCSP: the certificate
    Column("about", LargeBinary, nullable=False),
    Column("above", LargeBinary),  # a certificate's issuer, when it is known and another
    Column("begins", Big, nullable=False),  # not_before, thisUpdate
    Column("ends", Big, nullable=False),  # not_after, nextUpdate
    Column("fetched", Big, nullable=False),
    Column("origin", Text, nullable=False),  # a URL, a file's name, or "signature"
    Column("octets", LargeBinary, nullable=False),  # DER
    Index("material_by_subject", "about", "kind", "begins"),
)

# the editions of trusted lists and of the capability files of listed services, never changed (ADR 30)
trust_list = Table(
    "trust_list",
    metadata,
    Column("name", Text, primary_key=True),  # of the list, in the configuration
    Column("subject", Text, primary_key=True),  # "": the list itself; else the address of a capability file
    Column("sequence", Big, primary_key=True),
    Column("issued", Big, nullable=False),
    Column("taken", Big, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # SHA-256 of octets
    Column("octets", LargeBinary, nullable=False),  # XML as it was signed
)

audit = Table(
    "audit",
    metadata,
    Column("id", Big, primary_key=True),
    Column("time", Big, nullable=False),
    Column("actor", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index("audit_by_time", "time"),
)
