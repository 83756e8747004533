"""18 The time-stamp authorities fail in every way, for hours as far as anyone can see: nothing is lost, all is late."""

import json
import re
import smtplib
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from laboratory import DEADLINE, compose
from prometheus_client.parser import text_string_to_metric_families
from story import ACCEPTED, DELIVERED, RELAYED, receipts

pytestmark = pytest.mark.timeout(300)  # many failures, many receipts, three judges; a minute on an idle machine

SERVER = Path(__file__).parents[2] / "scripts" / "tsa_server.py"


class Authority:
    """An authority in a process of its own, always on the same port."""

    def __init__(self, keys):
        self.keys, self.port, self.process = keys, 0, None

    def start(self, behaviour="serve", engine="development"):
        self.stop()
        command = [sys.executable, SERVER, "--keys", self.keys, "--port", self.port]
        command += ["--behaviour", behaviour, "--engine", engine]
        self.process = subprocess.Popen([str(each) for each in command], stdout=subprocess.PIPE)
        said = self.process.stdout.readline().decode()
        assert said.startswith("ready"), said
        self.port = int(re.search(r":(\d+)/", said)[1])
        return self

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"


@pytest.fixture
def authorities():
    made = []

    def make(keys, **how):
        made.append(Authority(keys).start(**how))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def ask(node, *authorities, **stamping):
    """The provider asks these, in this order, with short waits."""
    path = node.folder / "kepgw.toml"
    text = path.read_text("utf-8")
    tables = "".join(f'[[tsa]]\nkind = "http"\nurl = {json.dumps(each.url)}\ntimeout = 0.5\n\n' for each in authorities)
    path.write_text(re.sub(r"^\[\[tsa\]\].*?(?=^\[)", lambda _: tables, text, count=1, flags=re.M | re.S), "utf-8")
    waits = {"retry_first": 0.05, "retry_max": 0.2, "wrong_first": 0.05, "wrong_max": 0.2} | stamping
    node.configure(**{f"stamping__{name}": value for name, value in waits.items()})


def scrape(node):
    """Every sample of /metrics, by name and labels."""
    answer = httpx.get(f"http://127.0.0.1:{node.base + 80}/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def until(node, holds):
    """Scrape until something holds; each scrape waits for the provider's answer."""
    watch = threading.Event()  # metrics are polled by nature
    for _ in range(int(DEADLINE / 0.1)):
        found = scrape(node)
        if holds(found):
            return found
        watch.wait(0.1)
    raise AssertionError("\n".join(f"{key} {value}" for key, value in sorted(found.items()) if "kepgw" in key[0]))


def requests(found, authority, outcome):
    key = ("kepgw_tsa_requests_total", ("authority", authority.url), ("outcome", outcome))
    return found.get(key, 0)


def test_an_outage_loses_nothing_and_delays_only(make_world, authorities):
    world = make_world()
    authority = authorities(world.here.folder / "keys")
    ask(world.here, authority)
    world.start()
    messages = []

    def send(subject):
        message = compose(world.ali, [world.veli], subject, "Sabırla bekler.\n")
        assert world.here.send(message, world.ali, [world.veli]) == {}
        messages.append(message["Message-ID"])

    # down, garbage, silence, refusals and wrong tokens, one after the other; a message is sent in each
    failures = {"busy": "http", "garbage": "unreadable", "hang": "timeout", "refuse": "refused", "moved": "http"}
    failures |= {"nonce": "wrong", "other": "wrong", "old": "clock"}
    authority.stop()
    send("kapalı")
    until(world.here, lambda found: requests(found, authority, "connect"))
    for behaviour, outcome in failures.items():
        before = requests(scrape(world.here), authority, outcome)
        authority.start(behaviour)
        send(behaviour)
        until(world.here, lambda found: requests(found, authority, outcome) > before)  # noqa: B023
    # visible: in the queue, at the message, in the metrics and in health
    found = until(world.here, lambda found: found[("kepgw_awaiting_time_stamp",)] == len(messages))
    assert found[("kepgw_queue_tasks", ("lane", "sign"))] == len(messages)
    waiting = [task for task in world.here.json("queue", "list") if task["kind"] == "issue"]
    assert len(waiting) == len(messages)
    assert all(task["awaits"] == "time-stamp" for task in waiting)
    shown = world.here.cli("message", "show", messages[0]).decode()
    assert "zaman damgası bekliyor" in shown
    assert "awaiting time stamp" in shown
    health = httpx.get(f"http://127.0.0.1:{world.here.base + 80}/health")
    assert (health.status_code, health.json()["status"]) == (200, "ok"), "messages are taken all the same"
    assert set(health.json()["warnings"]) == {"time-stamp", "clock"}
    assert found[("kepgw_clock_alarm",)] == 1
    # a restart in between
    assert world.here.stop() == 0
    world.here.start()
    until(world.here, lambda found: found[("kepgw_awaiting_time_stamp",)] == len(messages))
    before = world.here.json("message", "show", messages[0])
    authority.start()
    count = len(messages)
    assert receipts(world.here, world.ali, 3 * count, world.judges) == {
        ACCEPTED: count, RELAYED: count, DELIVERED: count,
    }  # fmt: skip
    after = world.here.json("message", "show", messages[0])
    assert before["t0"] == after["t0"], "the time of submission does not move"
    with world.there.imap(world.veli) as reader:
        assert len(reader.wait_for("INBOX", count)) == count
    assert scrape(world.here)[("kepgw_awaiting_time_stamp",)] == 0
    assert httpx.get(f"http://127.0.0.1:{world.here.base + 80}/health").json() == {"status": "ok"}


def test_intake_stops_only_past_the_debt_limit(make_world, authorities):
    world = make_world()
    world.no_witness("what was taken still waits for its time stamp when the scenario ends")
    authority = authorities(world.here.folder / "keys", behaviour="hang")
    ask(world.here, authority)
    world.here.configure(limits__waiting_messages=3)
    world.start()
    sent = 0

    def send():
        message = compose(world.ali, [world.veli], f"İleti {sent}", "Sırada.\n")
        world.here.send(message, world.ali, [world.veli])

    for sent in range(1, 4):
        send()
        until(world.here, lambda found: found[("kepgw_queue_tasks", ("lane", "sign"))] == sent)  # noqa: B023
    until(world.here, lambda found: found[("kepgw_taking",)] == 0)
    with pytest.raises(smtplib.SMTPResponseException) as refused:
        send()
    assert refused.value.smtp_code // 100 == 4
    assert httpx.get(f"http://127.0.0.1:{world.here.base + 80}/health").status_code == 503
    refusals = ("kepgw_refused_total", ("door", "submission"), ("reason", "try-later"))
    assert scrape(world.here)[refusals] >= 1
    authority.start()
    assert receipts(world.here, world.ali, 3 * sent, world.judges) == {ACCEPTED: sent, RELAYED: sent, DELIVERED: sent}
    send()


def test_the_second_serves_while_the_first_is_left_alone(make_world, authorities):
    """Two programs: openssl and our own. The first dies, the second takes over; a stranger is never believed."""
    world = make_world()
    stranger = authorities(world.there.folder / "keys")
    first = authorities(world.here.folder / "keys", engine="openssl")
    second = authorities(world.here.folder / "keys")
    ask(world.here, stranger, first, second, wrong_first=3600, wrong_max=3600)
    world.start()

    def send(number):
        message = compose(world.ali, [world.veli], f"İleti {number}", "Damgalı.\n")
        world.here.send(message, world.ali, [world.veli])
        return receipts(world.here, world.ali, 3 * number, world.judges)

    assert send(1) == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}
    found = scrape(world.here)
    assert requests(found, first, "good") >= 2
    assert requests(found, second, "good") == 0
    assert requests(found, stranger, "good") == 0
    assert requests(found, stranger, "untrusted") >= 1
    assert found[("kepgw_tsa_left_alone", ("authority", stranger.url))] >= 1
    assert "outcome=untrusted" in world.here.log()
    first.stop()
    assert send(2) == {ACCEPTED: 2, RELAYED: 2, DELIVERED: 2}
    found = scrape(world.here)
    assert requests(found, second, "good") >= 2
    first.start(engine="openssl")
    before = requests(found, first, "good")
    number = 3
    while requests(scrape(world.here), first, "good") == before:  # a probe finds it again within 0.2 seconds
        send(number)
        number += 1
        assert number < 40
