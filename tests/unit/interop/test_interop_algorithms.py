"""Every algorithm that can be set signs evidence, receipt and dispatch, with a micalg that tells the truth."""

import re
import shutil
import subprocess

import pytest
from interop_house import HS91, case, original, tools

from kepgw.evidence.codes import KepCode
from kepgw.interop.case import Order
from kepgw.interop.workshop import Bench
from kepgw.message.rendering import render
from kepgw.trust import devpki
from kepgw.trust.judge import judge_message
from kepgw.trust.paths import load_anchors

OCTETS = original("ali@hs91.kep.tr", ["ayse@hs90.kep.tr"])


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [
        ("rsa-2048", "rsa-sha256"),
        ("rsa-2048", "rsa-sha384"),
        ("rsa-2048", "rsa-sha512"),
        ("rsa-2048", "rsa-pss-sha256"),
        ("rsa-2048", "rsa-pss-sha384"),
        ("rsa-2048", "rsa-pss-sha512"),
        ("p-256", "ecdsa-sha256"),
        ("p-256", "ecdsa-sha512"),
        ("p-384", "ecdsa-sha256"),
        ("p-384", "ecdsa-sha384"),
        ("p-384", "ecdsa-sha512"),
    ],
)
def test_every_setting(tmp_path, kind, algorithm):
    assert shutil.which("openssl"), "openssl judges: scripts/setup-system.sh installs it"
    devpki.create(tmp_path / HS91, HS91, f"kep@{HS91}", algorithm=kind)
    bench = Bench(tools(tmp_path, HS91, algorithm))
    given = case(OCTETS)
    order = Order(KepCode.KABUL, given.evidence_id, given.t0)
    made, sealed = bench.issue(given, order, render(OCTETS), OCTETS)
    root = tmp_path / HS91 / "keys" / "root.pem"
    for octets in (made.receipt, sealed.head + OCTETS + sealed.tail):
        micalg = re.search(rb"micalg=sha-(\d+)", octets)[1].decode()
        assert algorithm.endswith(micalg)
        judged = judge_message(octets, load_anchors([root]))
        assert judged.good
        assert judged.cms.digest_algorithm == f"sha{micalg}"
        path = tmp_path / "mail.eml"
        path.write_bytes(octets)
        words = ["openssl", "cms", "-verify", "-cades", "-binary", "-crlfeol", "-purpose", "any", "-in", path]
        done = subprocess.run([*words, "-CAfile", root, "-out", tmp_path / "content"], capture_output=True)
        assert done.returncode == 0, done.stderr
