"""app: configuration, wiring and the ``kepgw`` command; the only room that knows all others."""
