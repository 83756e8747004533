"""What TLS says about the client of a connection, for logging in."""

import ssl

from kepgw.store.login import Link
from kepgw.trust.tls import ServerContext


def link_of(remote: str, tls: object) -> Link:
    """``tls`` is the transport's ``ssl_object``, None without TLS."""
    if not isinstance(tls, ssl.SSLObject | ssl.SSLSocket):
        return Link(remote)
    context = tls.context
    # a certificate is there only when it was verified: contexts ask for one or do not, none takes just any
    certificate = tls.getpeercert(binary_form=True) if context.verify_mode is not ssl.CERT_NONE else None
    return Link(remote, context.end_point if isinstance(context, ServerContext) else None, certificate)
