from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from kepgw.errors import ConfigurationError, SignatureInvalid
from kepgw.trust import paths
from kepgw.trust.paths import load_anchors, validate

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def der(pki):
    return {
        name: load_anchors([pki() / f"{name}.pem"])[0] for name in ("root", "intermediate", "process", "tls", "tsa")
    }


def test_leaf_intermediate_root(der):
    chain = validate(der["process"], [der["tls"], der["intermediate"]], [der["root"]], AT)
    assert chain == (der["process"], der["intermediate"], der["root"])


@pytest.mark.parametrize("moment", [AT - timedelta(days=1), AT + timedelta(days=4 * 365)])
def test_outside_its_time(der, moment):
    assert validate(der["process"], [der["intermediate"]], [der["root"]], AT)  # what is remembered must not help
    with pytest.raises(SignatureInvalid, match="not at") as caught:
        validate(der["process"], [der["intermediate"]], [der["root"]], moment)
    assert caught.value.check == "chain"


def test_missing_intermediate_and_strange_root(der, pki):
    with pytest.raises(SignatureInvalid, match="no path"):
        validate(der["process"], [], [der["root"]], AT)
    with pytest.raises(SignatureInvalid, match="no path"):
        validate(der["process"], [der["intermediate"], der["root"]], load_anchors([pki("p-384") / "root.pem"]), AT)
    with pytest.raises(SignatureInvalid, match="no path"):
        validate(der["process"], [der["intermediate"]], [], AT)


def test_an_intermediate_or_the_leaf_itself_may_be_trusted(der):
    assert validate(der["process"], [], [der["intermediate"]], AT) == (der["process"], der["intermediate"])
    assert validate(der["process"], [], [der["process"]], AT) == (der["process"],)
    with pytest.raises(SignatureInvalid, match="not at"):
        validate(der["process"], [], [der["process"]], AT + timedelta(days=4 * 365))


@pytest.mark.parametrize(("name", "usage"), [("tls", "sign"), ("tsa", "sign"), ("root", "sign"), ("process", "stamp")])
def test_for_another_purpose(der, name, usage):
    with pytest.raises(SignatureInvalid):
        validate(der[name], [der["intermediate"]], [der["root"]], AT, usage=usage)


def test_time_stamp_authority(der):
    assert validate(der["tsa"], [], [der["root"]], AT, usage="stamp") == (der["tsa"], der["root"])


async def test_inside_a_running_loop(der):
    paths._remembered.clear()
    assert len(validate(der["process"], [der["intermediate"]], [der["root"]], AT)) == 3


def test_remembered_results_are_not_judged_again(der, monkeypatch):
    validate(der["process"], [der["intermediate"]], [der["root"]], AT)
    monkeypatch.setattr(paths, "_validate", None)
    assert validate(der["process"], [der["intermediate"]], [der["root"]], AT + timedelta(days=30))


def test_a_name_with_a_string_of_an_unknown_type(der):
    leaf = bytearray(der["process"])
    place = leaf.index(b"\x0c", leaf.index(b"\x06\x03\x55\x04"))  # UTF8String in the issuer's name
    leaf[place] = 0x0D  # RELATIVE-OID: no kind of string
    with pytest.raises(SignatureInvalid):
        validate(bytes(leaf), [der["intermediate"]], [der["root"]], AT)


def test_every_altered_octet_of_the_leaf(der):
    leaf = der["process"]
    for place in range(0, len(leaf), 3):
        spoilt = leaf[:place] + bytes([leaf[place] ^ 0x01]) + leaf[place + 1 :]
        with pytest.raises(SignatureInvalid):
            validate(spoilt, [der["intermediate"]], [der["root"]], AT)


def test_rubbish(der):
    with pytest.raises(SignatureInvalid):
        validate(b"rubbish", [b"more"], [der["root"]], AT)
    assert validate(der["process"], [b"rubbish", der["intermediate"]], [b"rubbish", der["root"]], AT)


def issue(subject, key, issuer, issuer_key, extensions=()):
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (subject, issuer)]
    builder = (
        x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(AT - timedelta(days=1))
        .not_valid_after(AT + timedelta(days=365))
    )  # fmt: skip
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.DER)


AUTHORITY = [(x509.BasicConstraints(ca=True, path_length=None), True)]


def test_a_leaf_cannot_issue():
    root_key, middle_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    root = issue("root", root_key, "root", root_key, AUTHORITY)
    leaf = issue("leaf", leaf_key, "middle", middle_key)
    assert validate(leaf, [issue("middle", middle_key, "root", root_key, AUTHORITY)], [root], AT)
    with pytest.raises(SignatureInvalid):
        validate(leaf, [issue("middle", middle_key, "root", root_key)], [root], AT)


def test_unknown_critical_extension():
    root_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = issue("root", root_key, "root", root_key, AUTHORITY)
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert validate(issue("leaf", leaf_key, "root", root_key, [(strange, False)]), [], [root], AT)
    with pytest.raises(SignatureInvalid, match=r"1\.2\.3\.4"):
        validate(issue("leaf", leaf_key, "root", root_key, [(strange, True)]), [], [root], AT)


def test_a_mesh_of_cross_certificates_costs_little(monkeypatch):
    """Twelve authorities that all certify each other, and no trusted one: the work stays under its budget."""
    names = [f"ca{number}" for number in range(12)]
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in names}
    mesh = [issue(a, keys[a], b, keys[b], AUTHORITY) for a in names for b in names if a != b]
    trusted = ec.generate_private_key(ec.SECP256R1())
    leaf = issue("leaf", trusted, "ca0", keys["ca0"])
    checked = []
    signed = paths._signed
    monkeypatch.setattr(paths, "_signed", lambda *pair: checked.append(1) or signed(*pair))
    with pytest.raises(SignatureInvalid, match="no path"):
        validate(leaf, mesh, [issue("root", trusted, "root", trusted, AUTHORITY)], AT)
    assert 0 < len(checked) <= paths.MOST_CHECKS


def test_anchor_files(pki, tmp_path, der):
    both = tmp_path / "both.pem"
    both.write_bytes((pki() / "root.pem").read_bytes() + (pki() / "tsa.pem").read_bytes())
    binary = tmp_path / "root.der"
    binary.write_bytes(der["root"])
    assert load_anchors([both, binary]) == (der["root"], der["tsa"])
    (tmp_path / "empty.pem").write_bytes(b"")
    for path in (tmp_path / "empty.pem", tmp_path / "missing.pem"):
        with pytest.raises(ConfigurationError, match=path.name):
            load_anchors([path])
