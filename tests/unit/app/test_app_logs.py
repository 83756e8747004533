import io
import json
import logging

import pytest
import structlog

from kepgw.app import logs


@pytest.fixture
def stream():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logs.QUIET}
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)
    structlog.reset_defaults()


def test_one_line_an_event_whatever_a_client_sent(stream):
    logs.set_up("text", stream=stream)
    structlog.get_logger("kepgw.smtp").info("şey oldu", who='a\nlevel=error "b"\x1b[2J', octets=3)
    logging.getLogger("kepgw.store").warning("said %s", "x\r\nevent=forged", extra={"key": "v"})
    first, second, rest = stream.getvalue().split("\n")
    assert rest == ""
    assert 'event="şey oldu" octets=3 who="a\\nlevel=error \\"b\\"\\u001b[2J"' in first
    assert "level=info logger=kepgw.smtp" in first
    assert 'event="said x\\r\\nevent=forged" key=v' in second


def test_json_for_machines(stream):
    logs.set_up("json", stream=stream)
    structlog.get_logger("kepgw.smtp").info("accepted", message="m1")
    try:
        raise ValueError("why\nnot")
    except ValueError:
        logging.getLogger("kepgw.store").exception("failed")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["event"], first["message"], first["level"]) == ("accepted", "m1", "info")
    assert "why\nnot" in second["exception"]


def test_the_level_holds_for_both_kinds(stream):
    logs.set_up("text", "warning", stream=stream)
    structlog.get_logger("kepgw.x").info("quiet")
    logging.getLogger("kepgw.y").info("quiet")
    logging.getLogger("httpx").info("quiet")
    assert stream.getvalue() == ""


def test_setting_up_twice_writes_once(stream):
    logs.set_up("text", stream=stream)
    logs.set_up("text", stream=stream)
    structlog.get_logger("kepgw.x").info("once")
    assert len(stream.getvalue().splitlines()) == 1
