"""Sockets before any protocol: listening, caps on connections, and who is behind a proxy."""
