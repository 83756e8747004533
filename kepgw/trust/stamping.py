"""RFC 3161 time stamps: one face for building and judging tokens, the development TSA, and authorities over HTTP."""

from kepgw.trust.devtsa import DEVELOPMENT_POLICY, DevelopmentTsa
from kepgw.trust.tokens import Stamped, TokenReading, build_request, read_response, read_token, verify_token
from kepgw.trust.tsaclient import Access, Demands, HttpTsa, Outcome
from kepgw.trust.tsaorder import Attempt, Standing, TsaOrder

__all__ = [
    "DEVELOPMENT_POLICY",
    "Access",
    "Attempt",
    "Demands",
    "DevelopmentTsa",
    "HttpTsa",
    "Outcome",
    "Stamped",
    "Standing",
    "TokenReading",
    "TsaOrder",
    "build_request",
    "read_response",
    "read_token",
    "verify_token",
]
