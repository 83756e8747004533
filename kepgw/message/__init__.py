"""Bytes of mail: reading header blocks, structure, the IMAP renderings, and the REM envelope (build and open).

Bytes in, bytes out: no I/O, no clock, no store. A body is never parsed into objects and never serialised again; what
is known about it are offsets into the octets as they were received.
"""
