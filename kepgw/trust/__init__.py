"""Keys and signing, CMS/CAdES, RFC 3161, certificate paths: the room that may open keys, HTTP and the clock."""
