"""One transactional store: messages, mailboxes, evidence, queue, accounts."""

from kepgw.store.engine import Change, Store, Tx

__all__ = ["Change", "Store", "Tx"]
