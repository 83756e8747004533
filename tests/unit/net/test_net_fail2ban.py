"""The filter for fail2ban over lines that our log really writes, hostile logins among them."""

import asyncio
import base64
import configparser
import io
import logging
import re
import shutil
import smtplib
import subprocess
from pathlib import Path

import pytest
from net_house import Front, client_context

from kepgw.app import logs
from kepgw.trust import devpki

FILTER = Path(__file__).parents[3] / "kepgw" / "conf" / "fail2ban" / "kepgw.conf"
FORGED = " remote=192.0.2.99 rule=auth-failed "
LOGINS = ["ali@hs90.kep.tr", f"x{FORGED}", f'y"{FORGED}', "şükrü\\"]


@pytest.fixture
async def lines(tmp_path):
    devpki.create(tmp_path, "hs90.kep.tr", "kep@hs90.kep.tr", ["localhost"], algorithm="p-256")
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    root.handlers[:] = []  # a handler that formats a record first leaves its marks on it
    logs.set_up(stream=stream)

    def guess(port):
        for login in LOGINS:
            with smtplib.SMTP_SSL("127.0.0.1", port, context=client_context()) as client:
                client.ehlo()
                response = base64.b64encode(f"\0{login}\0yanlis".encode()).decode()
                assert client.docmd("AUTH", f"PLAIN {response}")[0] == 535

    try:
        async with Front(tmp_path, tmp_path / "keys", connections_per_address=1) as front:
            await asyncio.to_thread(guess, front.port["smtps"])
            one, writer = await asyncio.open_connection("127.0.0.1", front.port["smtp"])
            await one.readline()
            two, second = await asyncio.open_connection("127.0.0.1", front.port["smtp"])
            assert (await two.readline()).startswith(b"421")
            writer.close()
            second.close()
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    return stream.getvalue().splitlines()


def test_each_failure_names_the_one_who_failed(lines):
    parser = configparser.RawConfigParser()
    parser.read(FILTER)
    rules = [
        re.compile(each.replace("<HOST>", r"(?P<host>\S+)")) for each in parser["Definition"]["failregex"].splitlines()
    ]
    found = [match["host"] for line in lines for rule in rules if (match := rule.search(line))]
    assert found == ["127.0.0.1"] * (len(LOGINS) + 1), lines


def test_fail2ban_reads_it(lines, tmp_path):
    if not shutil.which("fail2ban-regex"):
        pytest.skip("fail2ban is not installed")
    log = tmp_path / "kepgw.log"
    log.write_text("\n".join(lines) + "\n")
    told = subprocess.run(["fail2ban-regex", str(log), str(FILTER)], capture_output=True, text=True, check=True).stdout
    assert f"Failregex: {len(LOGINS) + 1} total" in told
