"""``kepgw trust`` and what doctor says of revocation, on a stopped provider."""

import json
from datetime import UTC, datetime, timedelta

from cryptography import x509

from kepgw.app.config import load
from kepgw.app.doctor_trust import examine_trust
from kepgw.trust import devpki


def leaf(folder):
    return x509.load_pem_x509_certificate((folder / "keys" / "process.pem").read_bytes())


def ills(folder):
    return [finding for finding in examine_trust(load(folder), datetime.now(UTC)) if finding.level != "ok"]


def test_a_development_provider_has_its_lists(kepgw, folder):
    done = kepgw("trust", "list", folder, "--json")
    assert done.status == 0
    found = json.loads(done.out)
    assert [(each["status"], each["own"], each["stale"]) for each in found] == [("good", True, False)] * 2
    assert "good (own)" in kepgw("trust", "list", folder).out
    assert ills(folder) == []


def test_revoked(kepgw, folder):
    devpki.revoke(folder, leaf(folder), datetime.now(UTC) - timedelta(hours=1), x509.ReasonFlags.key_compromise)
    done = kepgw("trust", "refresh", folder)
    assert done.status == 0
    assert "revoked (own)" in done.out
    assert "keyCompromise" in done.out
    (finding,) = ills(folder)
    assert (finding.level, finding.what) == ("problem", "own certificate")
    assert "keyCompromise" in finding.detail
    assert kepgw("doctor", folder).status == 1


def test_nobody_vouches(kepgw, folder):
    for path in (folder / "revocation").iterdir():
        path.unlink()
    found = json.loads(kepgw("trust", "list", folder, "--json").out)
    assert {each["status"] for each in found} == {"unknown"}
    assert [(each.level, each.remedy) for each in ills(folder)] == [
        ("warning", f"see to the way to its authority, or put its list into {folder / 'revocation'}")
    ] * 2
