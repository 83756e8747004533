"""RFC 3161 time stamps: one face for building and judging tokens, the development TSA, and authorities over HTTP."""

from kepgw.trust.devtsa import DEVELOPMENT_POLICY, DevelopmentTsa
from kepgw.trust.tokens import Stamped, TokenReading, build_request, read_response, read_token, verify_token
from kepgw.trust.tsaclient import HttpTsa, TsaOrder

__all__ = [
    "DEVELOPMENT_POLICY",
    "DevelopmentTsa",
    "HttpTsa",
    "Stamped",
    "TokenReading",
    "TsaOrder",
    "build_request",
    "read_response",
    "read_token",
    "verify_token",
]
