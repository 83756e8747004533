"""The IMAP server: grammar (no I/O), the session and its view of a mailbox, and the server on sockets."""
