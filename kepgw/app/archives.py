"""What wires the archive and the places for tree heads to a configuration."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from kepgw.app.config import Config
from kepgw.app.stamping import stamping_of
from kepgw.evidence.ers_der import ALGORITHMS
from kepgw.interop.archiving import ArchiveSettings, Archivist, Workshop
from kepgw.interop.headsinks import CommandSink, FolderSink, HeadSender
from kepgw.store.engine import Store
from kepgw.trust.paths import load_anchors

__all__: Final = ["ALGORITHMS", "alone", "archivist", "head_sender", "sinks"]


def archivist(store: Store, workshop: Workshop, config: Config, now: Callable[[], datetime]) -> Archivist:
    """The archivist of a provider. Raises ConfigurationError when the anchors cannot be read."""
    given = config.archive
    settings = ArchiveSettings(timedelta(seconds=given.every), given.algorithm, timedelta(days=given.renew_days))
    return Archivist(store, workshop, settings, load_anchors(config.trust.anchors), now)


def alone(store: Store, config: Config, now: Callable[[], datetime]) -> Archivist:
    """The archivist where no provider runs: time stamps are asked for in this process."""

    class Authorities:
        async def time_stamp(self, digest: bytes) -> bytes:
            """Ask the authorities in their order."""
            return await asyncio.to_thread(lambda: stamping_of(config).order()(digest))

    return archivist(store, Authorities(), config, now)


def sinks(config: Config) -> list[FolderSink | CommandSink]:
    """The places for tree heads that the configuration names."""
    given = config.ledger
    return [
        *(FolderSink(folder) for folder in given.head_folders),
        *(CommandSink(each, given.head_command_timeout) for each in given.head_commands),
    ]


def head_sender(store: Store, config: Config, now: Callable[[], datetime]) -> HeadSender:
    """Who brings tree heads to these places."""
    return HeadSender(store, config.provider.domain, sinks(config), now)
