"""14 What Prometheus reads after a message went its way, by Prometheus' own parser."""

import re
import smtplib
from pathlib import Path

import httpx
import pytest
from laboratory import compose
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from story import ACCEPTED, DELIVERED, RELAYED, receipts

GUIDE = Path(__file__).parents[2] / "docs" / "admin.md"


def families(node, **headers):
    answer = httpx.get(f"http://127.0.0.1:{node.base + 80}/metrics", headers=headers)
    assert answer.status_code == 200
    read = openmetrics if "openmetrics" in answer.headers["content-type"] else None
    parse = read.text_string_to_metric_families if read else text_string_to_metric_families
    return {family.name: family for family in parse(answer.text)}


def value(found, name, **labels):
    """The value of one sample; ``_total`` and ``_count`` belong to the name."""
    samples = [each for family in found.values() for each in family.samples]
    (sample,) = [each for each in samples if each.name == name and each.labels == labels]
    return sample.value


def test_metrics(world):
    message = compose(world.ali, [world.veli], "Sayılır", "Ölçülür.\n")
    world.here.send(message, world.ali, [world.veli])
    assert receipts(world.here, world.ali, 3, world.judges) == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        world.here.send(message, world.ali, ["yok@hs90.kep.tr"])
    here, there = families(world.here), families(world.there)

    assert value(here, "kepgw_accepted_total", door="submission") == 1
    assert value(there, "kepgw_accepted_total", door="relay") == 1
    assert value(here, "kepgw_accepted_total", door="relay") == 2, "two receipts came back"
    assert value(here, "kepgw_refused_total", door="submission", reason="unknown-recipient") == 1
    assert value(here, "kepgw_evidence_total", code="10", issuer="own") == 1
    assert value(here, "kepgw_evidence_total", code="20", issuer="peer") == 1
    assert value(here, "kepgw_evidence_total", code="40", issuer="peer") == 1
    assert value(there, "kepgw_evidence_total", code="40", issuer="own") == 1
    assert value(here, "kepgw_relay_attempts_total", peer="hs91.kep.tr", outcome="taken") == 1
    assert value(there, "kepgw_relay_attempts_total", peer="hs90.kep.tr", outcome="taken") == 2
    stamps = value(here, "kepgw_tsa_requests_total", authority="development TSA", outcome="good")
    assert stamps >= 2, "evidence 10 and the dispatch; a tree head may have come as well"
    assert value(here, "kepgw_tsa_request_seconds_count", authority="development TSA") == stamps
    assert value(here, "kepgw_tsa_left_alone", authority="development TSA") == 0
    assert abs(value(here, "kepgw_tsa_clock_offset_seconds", authority="development TSA")) < 5
    assert value(here, "kepgw_clock_alarm") == 0
    assert value(here, "kepgw_signing_seconds_count", job="issue") == 1
    assert value(here, "kepgw_queue_tasks", lane="sign") == 0
    assert value(here, "kepgw_awaiting_time_stamp") == 0
    assert value(here, "kepgw_ledger_records") == 3
    assert value(here, "kepgw_taking") == 1
    assert value(here, "kepgw_signing_processes") >= 1
    assert value(here, "kepgw_signing_resident_memory_bytes") > 1e7
    assert value(here, "process_resident_memory_bytes") > 1e7
    assert value(here, "kepgw_event_loop_lag_seconds_count") > 0
    now = value(here, "process_start_time_seconds")
    for use, holder in [("process", "hs90.kep.tr"), ("tls", "hs90.kep.tr"), ("tsa", "hs90.kep.tr"),
                        ("process", "hs91.kep.tr"), ("tls", "hs91.kep.tr")]:  # fmt: skip
        left = value(here, "kepgw_certificate_not_after_timestamp_seconds", use=use, holder=holder) - now
        assert left > 86_400 * 300, (use, holder)
    with world.here.imap(world.ali), world.here.smtp(world.ali):
        found = families(world.here, Accept="application/openmetrics-text; version=1.0.0")
        assert value(found, "kepgw_connections", door="imap") >= 1
        assert value(found, "kepgw_connections", door="submission") >= 1

    # the guide names exactly these
    told = {
        name.removesuffix("_total")  # the parser's names of counters
        for name in re.findall(r"^\| `(kepgw_\w+)`", GUIDE.read_text("utf-8"), re.MULTILINE)
    }
    assert told == {name for name in here if name.startswith("kepgw_") and not name.endswith("_created")}
    # and no label is anything that a stranger can choose
    labels = {(key, text) for family in here.values() for each in family.samples for key, text in each.labels.items()}
    texts = {text for key, text in labels if key in {"peer", "holder", "lane"}}
    assert texts <= {"hs90.kep.tr", "hs91.kep.tr", "sign", "timer"}
