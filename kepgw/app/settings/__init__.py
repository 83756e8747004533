"""What can be set: one model a table of ``kepgw.toml``, without any default (see ``kepgw/conf/kepgw.toml``)."""

from kepgw.app.settings.config import Config
from kepgw.app.settings.provider import KnownProvider, ProcessKey, ProviderTable
from kepgw.app.settings.traffic import PeerSection

__all__ = ["Config", "KnownProvider", "PeerSection", "ProcessKey", "ProviderTable"]
