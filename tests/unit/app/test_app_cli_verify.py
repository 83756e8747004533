"""``kepgw verify``: messages, evidence, detached signatures and cases; good, spoilt and unreadable."""

import base64
import hashlib
import io
import json
import re
import shutil
import zipfile
from datetime import UTC, datetime, timedelta
from importlib.resources import files as files_of

import jsonschema
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kepgw.app.config import load
from kepgw.message.envelope import OriginalPart, begin, open_envelope
from kepgw.store.engine import Store
from kepgw.store.material import Fetched, keep_chain, keep_words
from kepgw.trust import cms, devpki
from kepgw.trust.keys import load_key
from kepgw.trust.material import Material
from kepgw.trust.revocation import crl_word
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


def zipped(files):
    entries = [
        {
            "path": path,
            "kind": path.partition("/")[0],
            "sha256": hashlib.sha256(octets).hexdigest(),
            "size": len(octets),
        }
        for path, octets in files.items()
    ]
    manifest = json.dumps({"format": "kepgw-case/1", "files": entries}).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, octets in {**files, "case.json": manifest}.items():
            archive.writestr(path, octets)
    return made.getvalue()


def pem(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def revoked_list(folder, since):
    """A list of the provider's intermediate, in which the process certificate is revoked; the folder's own is left."""
    path = folder / "revocation" / "intermediate.crl"
    before = path.read_bytes()
    try:
        return devpki.revoke(folder, pem(folder / "keys" / "process.pem"), since).read_bytes()
    finally:
        path.write_bytes(before)


@pytest.fixture
def files(made, tmp_path, evidence, dispatch, original):
    keys = made / "hs90" / "keys"
    key = load_key(keys / "process.key", keys / "process.pem", keys / "intermediate.pem")
    stamp = DevelopmentTsa(load_key(keys / "tsa.key", keys / "tsa.pem", purpose="tsa"))
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
        "zip.zip": b"PK\x03\x04rubbish",
        "own.p7s": cms.sign_detached(hashlib.sha256(original).digest(), key, datetime.now(UTC), stamp),
        "envelope.p7s": base64.encodebytes(open_envelope(dispatch).signature),
        "case.zip": zipped({"original/original.eml": original, "evidence/000001-10-x.xml": evidence}),
    }  # fmt: skip
    for name, octets in contents.items():
        (tmp_path / name).write_bytes(octets)
    return tmp_path


def marks(done):
    """Label and verdict of each drawn line, in English."""
    found = re.findall(r"^[│├└─ ]*\[([a-zA-Z ]+)\] ([^(\n]*)", done.out, re.M)
    return {(verdict, label.strip()) for verdict, label in found}


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")


def test_a_good_dispatch(kepgw, files, folder):
    for arguments in (("--trust", folder / "keys" / "root.pem"), ("--dir", folder)):
        done = kepgw("verify", files / "good.eml", *arguments)
        assert done.status == 0, done.out
        assert "[BAD]" not in done.out
        for label in ("Envelope signature", "Certificate chain of the envelope's signer", "Time stamp of the envelope",
                      "Evidence signature", "Time stamp of the evidence", "Digest of the original message",
                      "Signature of the envelope", "Signature of the evidence"):  # fmt: skip
            assert ("ok", label) in marks(done), label
        assert "(TOTAL-PASSED)" in done.out


def test_revocation_is_known_from_a_folder_or_the_provider(kepgw, files, folder, tmp_path):
    label = "Revocation of the envelope signer's certificate"
    root = folder / "keys" / "root.pem"
    assert ("not checked", label) in marks(kepgw("verify", files / "good.eml", "--trust", root))
    assert ("ok", label) in marks(kepgw("verify", files / "good.eml", "--dir", folder))
    lists = kepgw("verify", files / "good.eml", "--trust", root, "--material", folder / "revocation")
    assert ("ok", label) in marks(lists)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "new.crl").write_bytes(revoked_list(folder, datetime.now(UTC) - timedelta(days=1)))
    done = kepgw("verify", files / "good.eml", "--trust", root, "--material", tmp_path / "lists")
    assert done.status == 1
    assert ("BAD", label) in marks(done)
    assert "(REVOKED)" in done.out
    assert kepgw("verify", files / "good.eml", "--material", tmp_path / "nowhere").status == 2


def test_what_the_store_keeps_of_its_signers_is_used(kepgw, files, folder):
    keys = folder / "keys"
    chain = [pem(keys / f"{name}.pem").public_bytes(Encoding.DER) for name in ("process", "intermediate", "root")]
    since = datetime.now(UTC) - timedelta(days=1)
    octets = revoked_list(folder, since)
    shutil.rmtree(folder / "revocation")
    label = "Revocation of the envelope signer's certificate"
    assert ("not checked", label) in marks(kepgw("verify", files / "good.eml", "--dir", folder))
    word = crl_word(octets, chain[0], chain[1])
    store = Store.open(load(folder).store_path)
    fetched = Fetched(Material("crl", octets), chain[0], chain[1], word, "test")
    try:
        store.write_now(lambda tx: keep_chain(tx, chain, since))
        store.write_now(lambda tx: keep_words(tx, [fetched], since, timedelta()))
    finally:
        store.close()
    done = kepgw("verify", files / "good.eml", "--dir", folder)
    assert ("BAD", label) in marks(done)


def test_a_mail_client_may_have_saved_it_with_lf(kepgw, files, folder):
    done = kepgw("verify", files / "lf.eml", "--dir", folder)
    assert done.status == 0
    assert "The file was saved with LF line ends" in " ".join(done.out.split())


def test_good_evidence_with_and_without_its_original(kepgw, files, folder):
    done = kepgw("verify", files / "good.xml", "--dir", folder)
    assert done.status == 0
    assert ("not checked", "Digest of the original message") in marks(done)
    done = kepgw("verify", files / "good.xml", "--dir", folder, "--original", files / "original.eml")
    assert done.status == 0
    assert ("ok", "Digest of the original message") in marks(done)
    done = kepgw("verify", files / "good.xml", "--dir", folder, "--original", files / "other.eml")
    assert done.status == 1
    assert ("BAD", "Digest of the original message") in marks(done)


def test_without_trust_the_status_is_neither_good_nor_bad(kepgw, files):
    done = kepgw("verify", files / "good.eml")
    assert done.status == 3
    assert ("not checked", "Certificate chain of the envelope's signer") in marks(done)
    assert "INDETERMINATE NO_CERTIFICATE_CHAIN_FOUND" in done.out
    assert "nobody is trusted without --trust or --dir" in done.err
    assert kepgw("verify", files / "spoilt.eml").status == 1


def test_with_trust_nothing_is_said_of_trust(kepgw, files, folder):
    assert "nobody is trusted" not in kepgw("verify", files / "good.eml", "--dir", folder).err


def test_another_root_is_bad(kepgw, files, peer_folder):
    done = kepgw("verify", files / "good.xml", "--trust", peer_folder / "keys" / "root.pem")
    assert done.status == 1
    assert ("BAD", "Certificate chain of the evidence's signer") in marks(done)


def test_a_provider_trusts_the_roots_of_its_peers(kepgw, files, folder, peer_folder):
    assert kepgw("verify", files / "good.eml", "--dir", peer_folder).status == 1
    card = kepgw("peer", "card", folder).octets
    assert kepgw("peer", "add", peer_folder, "-", stdin=card).status == 0
    assert kepgw("verify", files / "good.eml", "--dir", peer_folder).status == 0


def test_what_was_altered_is_bad(kepgw, files, folder):
    done = kepgw("verify", files / "spoilt.xml", "--dir", folder)
    assert done.status == 1
    assert ("BAD", "Evidence signature") in marks(done)
    assert "(TOTAL-FAILED HASH_FAILURE)" in done.out
    done = kepgw("verify", files / "spoilt.eml", "--dir", folder)
    assert done.status == 1
    assert {("BAD", "Envelope signature"), ("BAD", "Digest of the original message")} <= marks(done)


@pytest.mark.parametrize("name", ["plain.eml", "text.xml", "broken.xml", "empty.eml", "missing.eml", "zip.zip"])
def test_what_cannot_be_read(kepgw, files, folder, name):
    done = kepgw("verify", files / name, files / "good.eml", "--dir", folder)
    assert done.status == 2
    assert f"{files / name}: not readable" in done.out
    assert "Envelope signature" in done.out  # the others are judged all the same
    assert "Traceback" not in done.err


def test_the_time_of_the_chains(kepgw, files, folder):
    done = kepgw("verify", files / "good.xml", "--dir", folder, "--at", "2001-01-01")
    assert done.status == 1
    assert ("BAD", "Certificate chain of the evidence's signer") in marks(done)
    assert "(NOT_YET_VALID)" in done.out
    at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S+00:00}"
    assert kepgw("verify", files / "good.xml", "--dir", folder, "--at", at).status == 0


def test_standard_input(kepgw, files, folder):
    octets = (files / "good.eml").read_bytes()
    assert kepgw("verify", "-", "--dir", folder, stdin=octets).status == 0
    assert kepgw("verify", "-", "-", "--dir", folder, stdin=octets).status == 2
    assert kepgw("verify", "-", "--dir", folder, stdin=b"").status == 2


def test_a_detached_signature_beside_its_message(kepgw, files, folder):
    for pair in (("own.p7s", "original.eml"), ("original.eml", "own.p7s")):
        done = kepgw("verify", *(files / name for name in pair), "--dir", folder)
        assert done.status == 0, done.out
        assert ("ok", "Detached signature") in marks(done)
    done = kepgw("verify", files / "own.p7s", files / "other.eml", "--dir", folder)
    assert done.status == 1
    alone = kepgw("verify", files / "own.p7s", "--dir", folder)
    assert alone.status == 2
    assert "kepgw verify x.p7s x.eml" in alone.out


def test_the_signature_part_of_a_dispatch_saved_apart(kepgw, files, folder):
    done = kepgw("verify", files / "envelope.p7s", files / "good.eml", "--dir", folder)
    assert done.status == 0
    assert {("ok", "Detached signature"), ("ok", "Envelope signature")} <= marks(done)


def test_languages(kepgw, files, monkeypatch):
    turkish, english = "Bu orijinal ileti", "This original message"
    for language, expected in (("tr", (True, False)), ("en", (False, True)), ("both", (True, True))):
        done = kepgw("verify", files / "good.xml", "--original", files / "other.eml", "--lang", language)
        assert (turkish in done.out, english in done.out) == expected
    for locale, expected in (("tr_TR.UTF-8", (True, False)), ("en_GB", (False, True)), ("C.UTF-8", (True, True))):
        monkeypatch.setenv("LC_ALL", locale)
        done = kepgw("verify", files / "good.xml", "--original", files / "other.eml")
        assert (turkish in done.out, english in done.out) == expected


def test_exact_words_in_turkish(kepgw, files):
    done = kepgw("verify", files / "spoilt.xml", "--lang", "tr")
    content = "Delil şunu söylüyor: KEP delili 10: İleti, gönderenin KEP hizmet sağlayıcısı tarafından kabul edildi."
    said = [line.strip("│├└─ ") for line in done.out.splitlines()]
    assert said[0].startswith("[HATALI] Delil ")
    assert said[1] == "[doğru] Delilin içeriği"
    assert content in " ".join(said)
    at = said.index("[HATALI] Delilin imzası (TOTAL-FAILED HASH_FAILURE)")
    assert said[at + 1 : at + 5] == [
        "[HATALI] Delil imzası (HASH_FAILURE)",
        "İçerik imzalandıktan sonra değişmiş: özeti imzadaki özetle aynı değil. Bu imza bu içeriği",
        "kanıtlamaz.",
        "[denetlenmedi] Delili imzalayanın sertifika zinciri",
    ]


@pytest.fixture(scope="session")
def schema():
    with files_of("kepgw.app").joinpath("verify.schema.json").open("rb") as file:
        validator = jsonschema.Draft202012Validator(json.load(file), format_checker=jsonschema.FormatChecker())
    validator.check_schema(validator.schema)
    return validator


def test_json(kepgw, files, folder, schema):
    names = ("good.eml", "spoilt.xml", "empty.eml", "own.p7s", "original.eml")
    done = kepgw("verify", *(files / name for name in names), "--dir", folder, "--json", "--at", "2026-11-24")
    data = json.loads(done.octets)
    schema.validate(data)
    assert (data["format"], data["status"], data["at"]) == ("kepgw-verify/1", "unreadable", "2026-11-24T00:00:00Z")
    good, spoilt, empty, signed = data["results"]
    assert (spoilt["status"], empty["status"]) == ("bad", "unreadable")
    assert [each["kind"] for each in data["results"]] == ["dispatch", "evidence", "", "signed-file"]
    assert (good["evidence"][0]["code"], good["evidence"][0]["recipients"]) == (10, ["ali@hs91.kep.tr"])
    assert empty["error"]["tr"].endswith("okunamıyor")
    assert signed["tree"]["checks"][0]["kind"] == "signature-of-file"
    (broken,) = [each for each in leaves(spoilt["tree"]) if each["name"] == "evidence-signature"]
    assert (broken["verdict"], broken["indication"], broken["sub_indication"]) == ("bad", "FAILED", "HASH_FAILURE")
    shown = {each["certificate"] for result in data["results"] for each in leaves(result["tree"])} - {None}
    assert shown <= set(data["certificates"])
    assert data["anchors"]


def leaves(node):
    for each in [] if node is None else node["checks"]:
        if each["kind"] == "check":
            yield each
        else:
            yield from leaves(each)


def test_json_of_a_case(kepgw, files, folder, schema):
    done = kepgw("verify", files / "case.zip", "--dir", folder, "--json")
    assert done.status == 0, done.out
    data = json.loads(done.octets)
    schema.validate(data)
    (result,) = data["results"]
    (ali,) = result["case"]["recipients"]
    assert (ali["recipient"], ali["state"], ali["missing"]) == ("ali@hs91.kep.tr", "accepted", [40])
    assert kepgw("verify", files / "case.zip").status == 3


def test_a_case_through_standard_input(kepgw, files, folder):
    done = kepgw("verify", "-", "--dir", folder, "--lang", "tr", stdin=(files / "case.zip").read_bytes())
    assert done.status == 0
    assert "[doğru] Kanıtlanan durum" in done.out
    assert "Alıcıya ulaştığı" in done.out


def test_trust_that_cannot_be_read(kepgw, files, tmp_path):
    shutil.copy(files / "good.eml", tmp_path / "root.pem")
    for path in (tmp_path / "root.pem", tmp_path / "none.pem"):
        done = kepgw("verify", files / "good.eml", "--trust", path)
        assert done.status == 2
        assert str(path) in done.err
    assert kepgw("verify", files / "good.xml", "--original", tmp_path / "none.eml").status == 2
