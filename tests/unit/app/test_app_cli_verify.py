"""``kepgw verify``: dispatches and bare evidence, good, spoilt and unreadable."""

import hashlib
import json
import shutil
from datetime import UTC, datetime

import pytest

from kepgw.message.envelope import OriginalPart, begin
from kepgw.trust import cms
from kepgw.trust.keys import load_key
from kepgw.trust.stamping import DevelopmentTsa


@pytest.fixture(scope="module")
def evidence(signed):
    return signed(10, "delil.1@hs90.kep.tr")


@pytest.fixture(scope="module")
def dispatch(made, evidence, original):
    """A dispatch of hs90 with the original inside, signed and stamped."""
    keys = made / "hs90" / "keys"
    key = load_key(keys / "process.key", keys / "process.pem", keys / "intermediate.pem")
    stamp = DevelopmentTsa(load_key(keys / "tsa.key", keys / "tsa.pem", purpose="tsa"))
    unsealed = begin(
        [("From", "HS90 <kep@hs90.kep.tr>"), ("To", "<ali@hs91.kep.tr>"), ("Subject", "KEP")],
        [("X-REM-EvidenceIdentifier", "delil.1@hs90.kep.tr")],
        ("Merhaba", "<p>Merhaba</p>"),
        OriginalPart(len(original), False),
        [("SubmissionAcceptanceRejection.xml", evidence)],
        seed=b"1",
    )
    digest = hashlib.sha256(unsealed.signed_head + original + unsealed.tail).digest()
    return unsealed.head + original + unsealed.seal(cms.sign_detached(digest, key, datetime.now(UTC), stamp))


@pytest.fixture
def files(tmp_path, evidence, dispatch, original):
    contents = {
        "good.xml": evidence,
        "good.eml": dispatch,
        "lf.eml": dispatch.replace(b"\r\n", b"\n"),
        "spoilt.xml": evidence.replace(b"ali@hs91", b"vel@hs91"),
        "spoilt.eml": dispatch.replace(b"\r\nMerhaba\r\n", b"\r\nHayhaba\r\n"),
        "plain.eml": original,
        "text.xml": b"<not>evidence</not>",
        "broken.xml": b"<not>",
        "empty.eml": b"",
        "original.eml": original,
        "other.eml": original + b"x\r\n",
    }  # fmt: skip
    for name, octets in contents.items():
        (tmp_path / name).write_bytes(octets)
    return tmp_path


def lines(done):
    return [line.split(":")[0] for line in done.out.splitlines()]


def test_a_good_dispatch(kepgw, files, folder):
    for arguments in (("--trust", folder / "keys" / "root.pem"), ("--dir", folder)):
        done = kepgw("verify", files / "good.eml", *arguments)
        assert done.status == 0, done.out
        assert "BAD" not in done.out
        for line in ("Envelope signature", "Certificate chain of the envelope's signer", "Time stamp of the envelope",
                     "Evidence signature", "Time stamp of the evidence", "Digest of the original message"):  # fmt: skip
            assert f"{'ok':<12} {line}" in lines(done)


def test_a_mail_client_may_have_saved_it_with_lf(kepgw, files, folder):
    assert kepgw("verify", files / "lf.eml", "--dir", folder).status == 0


def test_good_evidence_with_and_without_its_original(kepgw, files, folder):
    done = kepgw("verify", files / "good.xml", "--dir", folder)
    assert done.status == 0
    assert "not checked  Digest of the original message" in done.out
    done = kepgw("verify", files / "good.xml", "--dir", folder, "--original", files / "original.eml")
    assert done.status == 0
    assert f"{'ok':<12} Digest of the original message" in done.out
    done = kepgw("verify", files / "good.xml", "--dir", folder, "--original", files / "other.eml")
    assert done.status == 1
    assert f"{'BAD':<12} Digest of the original message" in done.out


def test_without_trust_chains_are_not_checked(kepgw, files):
    done = kepgw("verify", files / "good.eml")
    assert done.status == 0
    assert "not checked  Certificate chain of the envelope's signer: no trusted certificates were given" in done.out
    assert "nobody is trusted without --trust or --dir" in done.err


def test_with_trust_nothing_is_said_of_trust(kepgw, files, folder):
    assert "nobody is trusted" not in kepgw("verify", files / "good.eml", "--dir", folder).err


def test_another_root_is_bad(kepgw, files, peer_folder):
    done = kepgw("verify", files / "good.xml", "--trust", peer_folder / "keys" / "root.pem")
    assert done.status == 1
    assert f"{'BAD':<12} Certificate chain of the evidence's signer" in done.out


def test_a_provider_trusts_the_roots_of_its_peers(kepgw, files, folder, peer_folder):
    assert kepgw("verify", files / "good.eml", "--dir", peer_folder).status == 1
    card = kepgw("peer", "card", folder).octets
    assert kepgw("peer", "add", peer_folder, "-", stdin=card).status == 0
    assert kepgw("verify", files / "good.eml", "--dir", peer_folder).status == 0


def test_what_was_altered_is_bad(kepgw, files, folder):
    done = kepgw("verify", files / "spoilt.xml", "--dir", folder)
    assert done.status == 1
    assert f"{'BAD':<12} Evidence signature" in lines(done)
    done = kepgw("verify", files / "spoilt.eml", "--dir", folder)
    assert done.status == 1
    assert f"{'BAD':<12} Envelope signature" in lines(done)
    assert f"{'BAD':<12} Digest of the original message" in lines(done)


@pytest.mark.parametrize("name", ["plain.eml", "text.xml", "broken.xml", "empty.eml", "missing.eml"])
def test_what_cannot_be_read(kepgw, files, folder, name):
    done = kepgw("verify", files / name, files / "good.eml", "--dir", folder)
    assert done.status == 2
    assert f"{files / name}: not readable" in done.out
    assert "Envelope signature" in done.out  # the others are judged all the same
    assert "Traceback" not in done.err


def test_the_time_of_the_chains(kepgw, files, folder):
    done = kepgw("verify", files / "good.xml", "--dir", folder, "--at", "2001-01-01")
    assert done.status == 1
    assert f"{'BAD':<12} Certificate chain of the evidence's signer" in done.out
    assert (
        kepgw(
            "verify", files / "good.xml", "--dir", folder, "--at", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S+00:00}"
        ).status
        == 0
    )


def test_json(kepgw, files, folder):
    done = kepgw("verify", files / "good.eml", files / "spoilt.xml", files / "empty.eml", "--dir", folder, "--json")
    assert done.status == 2
    good, spoilt, empty = json.loads(done.octets)
    assert (good["status"], spoilt["status"], empty["status"]) == ("good", "bad", "unreadable")
    assert (good["kind"], spoilt["kind"]) == ("Dispatch", "Evidence")
    assert {check["verdict"] for check in good["checks"]} <= {"ok", "warning", "not checked"}
    assert {"envelope-signature", "evidence-signature", "digest"} <= {check["name"] for check in good["checks"]}
    assert "bad" in {check["verdict"] for check in spoilt["checks"]}


def test_trust_that_cannot_be_read(kepgw, files, tmp_path):
    shutil.copy(files / "good.eml", tmp_path / "root.pem")
    for pem in (tmp_path / "root.pem", tmp_path / "none.pem"):
        done = kepgw("verify", files / "good.eml", "--trust", pem)
        assert done.status == 2
        assert str(pem) in done.err
    assert kepgw("verify", files / "good.xml", "--original", tmp_path / "none.eml").status == 2
