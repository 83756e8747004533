"""Logs: one line an event on stderr, key=value for people or JSON for machines.

Both structlog and the standard library's loggers go through the same chain. Nothing that a client sent can start a
line of its own or reach the terminal: whatever is not plain is quoted and escaped.
"""

import json
import logging
import re
import sys
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# Libraries that tell every connection or request at INFO.
QUIET: Final = ("mail.log", "httpx", "httpcore", "uvicorn.access", "asyncio", "alembic")

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:/@+<>\[\],-]+")
_FIRST: Final = ("timestamp", "level", "logger", "event")


def key_value(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """The event as ``key=value`` pairs; values that are not plain ASCII words are quoted as in JSON."""
    names = [name for name in _FIRST if name in event] + sorted(name for name in event if name not in _FIRST)
    return " ".join(f"{name}={_value(event[name])}" for name in names)


def _value(value: Any) -> str:
    shown = value if isinstance(value, str) else str(value)
    if _PLAIN.fullmatch(shown):
        return shown
    if shown.isprintable():
        return json.dumps(shown, ensure_ascii=False)  # Turkish stays readable
    return json.dumps(shown)


def set_up(log_format: str = "text", level: str = "info", stream: TextIO | None = None) -> None:
    """Send all logs to ``stream`` (stderr when None). ``log_format`` is "text" or "json"; may be called again."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Processor = structlog.processors.JSONRenderer(ensure_ascii=True) if log_format == "json" else key_value
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        if getattr(old, "kepgw", False):
            root.removeHandler(old)
    handler.kepgw = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
