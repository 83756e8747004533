"""Trusted lists and capability files: what is read, what is refused, what was listed when."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from list_house import Operator, service, write_capabilities, write_list
from lxml import etree
from signxml import DigestAlgorithm, SignatureMethod, methods
from signxml.xades import XAdESSigner, XAdESVerifier

from kepgw.errors import ListRefused
from kepgw.trust.capabilities import REM_BASELINE, open_capabilities, read_capabilities
from kepgw.trust.listing import in_force, listing
from kepgw.trust.trustedlist import MAX_LIST, check_current, check_successor, open_list, read_list

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
XSD = Path(__file__).parents[4] / "shared" / "xsd"
NESTED = "<a>" * 300 + "</a>" * 300


@pytest.fixture(scope="module")
def operator():
    return Operator(at=NOW)


@pytest.fixture(scope="module")
def holder():
    return Operator("hs91", at=NOW).certificate


@pytest.fixture
def listed(operator, holder):
    return operator.list(7, [service(holder, ("withdrawn", NOW - DAY), ("granted", NOW - 90 * DAY))], NOW)


def test_what_a_list_says(operator, holder, listed):
    read = open_list(listed, [operator.certificate])
    assert (read.operator, read.territory, read.sequence) == ("Operator", "TR", 7)
    assert (read.issued, read.next_update) == (NOW, NOW + 30 * DAY)
    (entry,) = read.naming(holder)
    assert (entry.provider, entry.name, entry.supply_points) == ("Providers", "hs91", ("smtp:mx.hs91.kep.tr:25",))
    assert entry.at(NOW - 91 * DAY) is None
    assert entry.at(NOW - 2 * DAY).granted
    assert not entry.at(NOW).granted


def test_the_published_lists_are_read(vectors):
    folder = vectors / "common-service-interface"
    for name in ("TL_CCA", "TL_CCB", "TL_CCC"):
        read = read_list((folder / f"{name}.xml").read_bytes())
        assert [each.at(NOW).granted for each in read.services] == [True, True, True]
        assert read.services[0].supply_points[0] == "smtp:mx.sa-rems.rem:25"
        with pytest.raises(ListRefused, match="0 signatures"):
            open_list((folder / f"{name}.xml").read_bytes(), [])


def test_the_published_capability_file_is_read(vectors, holder):
    import base64

    octets = (vectors / "common-service-interface" / "CSI_CCA.xml").read_bytes()
    with pytest.raises(ListRefused, match="TLSCertificate"):
        read_capabilities(octets)  # a placeholder stands there
    head, mark, rest = octets.partition(b"<si:TLSCertificate>")
    read = read_capabilities(head + mark + base64.b64encode(holder) + rest[rest.index(b"</si:") :])
    assert (read.sequence, read.host, read.profiles) == (3, "mx.sa-rems.rem", (REM_BASELINE,))
    assert read.tls_certificate == holder


def test_our_test_lists_are_as_the_schema_wants_them(listed):
    if not XSD.is_dir():
        pytest.skip("the published schemas (../shared/xsd) are not beside the checkout")

    class Here(etree.Resolver):
        def resolve(self, url, _, context):
            names = {"xml.xsd": "xml.xsd", "xmldsig-core-schema.xsd": "xmldsig-core-schema.xsd"}
            name = names.get(url.rpartition("/")[2])
            return None if name is None else self.resolve_filename(str(XSD / "ts102640" / name), context)

    parser = etree.XMLParser(load_dtd=False, no_network=True)
    parser.resolvers.add(Here())
    schema = etree.XMLSchema(etree.parse(str(XSD / "ts119612" / "ts_119612v020201_201601xsd.xsd"), parser))
    schema.assertValid(etree.fromstring(listed))


@pytest.mark.oracle
def test_xmlsec1_accepts_what_we_accept(operator, listed, tmp_path):
    assert shutil.which("xmlsec1")
    (tmp_path / "list.xml").write_bytes(listed)
    (tmp_path / "signer.pem").write_bytes(operator.pem)
    words = ["xmlsec1", "--verify", "--trusted-pem", "signer.pem", "--enabled-key-data", "x509", "--id-attr:Id"]
    # the signer is what is trusted, whatever day it is
    words += ["SignedProperties", "--verification-time", f"{NOW:%Y-%m-%d %H:%M:%S}", "list.xml"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.oracle
def test_a_list_that_signxml_signed(operator, holder):
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    signer = XAdESSigner(
        method=methods.enveloped,
        signature_algorithm=SignatureMethod.ECDSA_SHA256,
        digest_algorithm=DigestAlgorithm.SHA256,
        c14n_algorithm="http://www.w3.org/2006/12/xml-c14n11",
    )
    root = etree.fromstring(write_list(3, [service(holder, ("granted", NOW - DAY))], NOW))
    key = operator._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    octets = etree.tostring(signer.sign(root, key=key, cert=operator.pem.decode()))
    XAdESVerifier().verify(octets, x509_cert=operator.pem.decode(), expect_references=3)
    try:
        read = open_list(octets, [operator.certificate])
    except ListRefused as error:  # says which of its habits is not read
        pytest.fail(str(error))
    assert read.sequence == 3


def test_who_may_sign(operator, holder, listed):
    other = Operator(at=NOW)
    with pytest.raises(ListRefused, match="nobody has called a signer"):
        open_list(listed, [other.certificate, holder])
    with pytest.raises(ListRefused, match="nobody has called a signer"):
        open_list(other.list(8, [], NOW), [operator.certificate])
    ended = Operator(at=NOW - 400 * DAY)
    with pytest.raises(ListRefused, match="did not hold"):
        open_list(ended.list(8, [], NOW), [ended.certificate])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Svcstatus/withdrawn", b"Svcstatus/granted"),
        (b"<TSLSequenceNumber>7", b"<TSLSequenceNumber>8"),
        (b"EDS/REM", b"EDS/REM/Q"),
        (b"<TSPServices>", b"<TSPServices><!-- --><x/>"),
        (b"</TrustServiceStatusList>", b"<x/></TrustServiceStatusList>"),
    ],
)
def test_an_altered_list(operator, listed, old, new):
    assert listed.count(old) >= 1
    with pytest.raises(ListRefused):
        open_list(listed.replace(old, new, 1), [operator.certificate])


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x00" * 100,
        b"<x/>",
        b'<!DOCTYPE x [<!ENTITY e "e">]><x>&e;</x>',
        b'<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><x/>',
        NESTED.encode(),
        b"<x>" + b" " * MAX_LIST + b"</x>",
        "<?xml version='1.0' encoding='UTF-16'?><!DOCTYPE x><x/>".encode("utf-16"),
    ],
)
def test_hostile_octets(operator, octets):
    for reader in (open_list, open_capabilities):
        with pytest.raises(ListRefused):
            reader(octets, [operator.certificate])
    for reader in (read_list, read_capabilities):
        with pytest.raises(ListRefused):
            reader(octets)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<TSLSequenceNumber>7", b"<TSLSequenceNumber>-1"),
        (b"<TSLSequenceNumber>7", b"<TSLSequenceNumber>" + b"9" * 16),
        (b"<TSLSequenceNumber>7", "<TSLSequenceNumber>٧".encode()),
        (b"<ListIssueDateTime>2026", b"<ListIssueDateTime>yesterday"),
        (b"<NextUpdate>", b"<NextUpdate/><NextUpdate>"),
        (b"<X509Certificate>", b"<X509Certificate>AAAA"),
        (b"<StatusStartingTime>", b"<StatusStartingTime/><StatusStartingTime>"),
        (b"<TSPName>", b"<TSPName/><TSPName>"),
    ],
)
def test_what_no_list_says(listed, old, new):
    assert old in listed
    with pytest.raises(ListRefused):
        read_list(listed.replace(old, new, 1))


def test_more_than_a_list_has(holder):
    many = [service(holder, ("granted", NOW))] * 2001
    with pytest.raises(ListRefused, match="more than"):
        read_list(write_list(1, many, NOW))
    with pytest.raises(ListRefused, match="more than"):
        read_list(write_list(1, [service(holder, *[("granted", NOW)] * 502)], NOW))
    with pytest.raises(ListRefused, match="more than"):
        read_list(write_list(1, [service([holder] * 51, ("granted", NOW))], NOW))


def test_other_services_are_passed_over(holder):
    read = read_list(write_list(1, [service(holder, ("granted", NOW), type="CA/QC")], NOW))
    assert read.services == ()


@pytest.mark.parametrize(
    ("status", "type", "granted"),
    [
        ("granted", "REM", True),
        ("granted", "EDS/REM", True),
        ("granted", "EDS/REM/Q", True),
        ("recognisedatnationallevel", "EDS/REM", True),
        ("withdrawn", "EDS/REM/Q", False),
        ("deprecatedatnationallevel", "EDS/REM", False),
        ("accredited", "EDS/REM", False),
    ],
)
def test_statuses_and_types(holder, status, type, granted):
    read = read_list(write_list(1, [service(holder, (status, NOW), type=type)], NOW))
    assert listing("x", [read], holder, NOW).granted is granted


def test_one_of_two_services_that_is_granted_is_enough(holder):
    two = [service(holder, ("withdrawn", NOW), type="EDS/REM/Q"), service(holder, ("granted", NOW - DAY))]
    assert listing("x", [read_list(write_list(1, two, NOW))], holder, NOW).granted


def test_neither_number_nor_time_goes_back():
    check_successor((1, NOW), (2, NOW))
    for new in ((1, NOW + DAY), (0, NOW + DAY), (2, NOW - DAY)):
        with pytest.raises(ListRefused, match="rollback"):
            check_successor((1, NOW), new)


def test_the_clock():
    check_current(NOW, NOW + DAY, NOW)
    check_current(NOW, None, NOW + 1000 * DAY)
    with pytest.raises(ListRefused, match="future"):
        check_current(NOW + DAY, None, NOW)
    with pytest.raises(ListRefused, match="old edition"):
        check_current(NOW - 2 * DAY, NOW - DAY, NOW)


def test_an_old_message_is_judged_by_the_list_of_its_time(holder):
    """The third edition has forgotten the service; the first one still speaks for its time, and for the time before."""
    stated = [
        [service(holder, ("granted", NOW), ("withdrawn", NOW - 50 * DAY), ("granted", NOW - 100 * DAY))],
        [service(holder, ("withdrawn", NOW + 10 * DAY), ("granted", NOW))],
        [],
    ]
    editions = [
        read_list(write_list(number + 1, services, NOW + number * 10 * DAY)) for number, services in enumerate(stated)
    ]
    said = {days: listing("x", editions, holder, NOW + days * DAY) for days in (-110, -60, -20, 1, 11, 25)}
    assert {days: each.granted for days, each in said.items()} == {
        -110: False, -60: True, -20: False, 1: True, 11: False, 25: False,
    }  # fmt: skip
    assert [said[days].sequence for days in (-60, 1, 11, 25)] == [1, 1, 2, 3]
    assert (said[25].status, said[25].since, said[-110].status) == ("", None, "")
    assert in_force([], NOW) is None
    assert listing("x", [], holder, NOW) is None


def test_capabilities(operator, holder):
    octets = operator.capabilities(4, holder, NOW, host="MX.hs91.kep.tr.")
    read = open_capabilities(octets, [operator.certificate])
    assert (read.sequence, read.issued, read.next_update) == (4, NOW, NOW + 30 * DAY)
    assert (read.host, read.profiles, read.tls_certificate) == ("mx.hs91.kep.tr", (REM_BASELINE,), holder)
    with pytest.raises(ListRefused):
        open_capabilities(octets.replace(b">4<", b">5<"), [operator.certificate])
    with pytest.raises(ListRefused, match="not a trusted list"):
        read_list(octets)
    with pytest.raises(ListRefused, match="not a capability file"):
        read_capabilities(write_list(1, [], NOW))
    with pytest.raises(ListRefused):
        read_capabilities(write_capabilities(1, b"no certificate", NOW))
