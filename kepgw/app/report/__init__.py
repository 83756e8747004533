"""The report of a case: what is known of one message and its evidence, for people, as HTML and as a signed PDF."""
