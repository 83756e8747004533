"""Asking authorities: openssl answers what a real one would, a small site what a hostile one would."""

import subprocess
import threading
from datetime import UTC, datetime, timedelta

import pytest
from authorities import Responder, Site
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from nes import Eshs

from kepgw.errors import MaterialUnavailable
from kepgw.trust.fetching import HttpFetcher, ocsp_request, public
from kepgw.trust.material import Good, Revoked, status

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def eshs():
    return Eshs(at=NOW - 2 * DAY)


@pytest.fixture
def site():
    site = Site()
    yield site
    site.stop()


@pytest.fixture
async def fetcher():
    fetcher = HttpFetcher(timeout=5.0, largest=20_000, private=True)
    yield fetcher
    await fetcher.close()


@pytest.fixture
def responder(eshs, tmp_path):
    made = []

    def make(*certificates, by=None, options=()):
        folder = tmp_path / str(len(made))
        folder.mkdir()
        found = Responder(folder, eshs, by, *options)
        for state, certificate, reason in certificates:
            found.knows(certificate, state, reason)
        made.append(found)
        return found

    yield make
    for each in made:
        each.stop()


async def asked(fetcher, eshs, sender, lists=None):
    return await fetcher.ask(sender.der(), eshs.der(), {} if lists is None else lists)


async def refused(fetcher, eshs, sender):
    with pytest.raises(MaterialUnavailable) as caught:
        await asked(fetcher, eshs, sender)
    return str(caught.value)


@pytest.mark.oracle
@pytest.mark.parametrize("delegated", [False, True])
async def test_what_openssl_answers(eshs, site, fetcher, responder, delegated):
    url = site.url("/ocsp")
    good, gone, held, strange = (eshs.issue(responders=[url]) for _ in range(4))
    by = eshs.issue("OCSP", statements=None, extended=[ExtendedKeyUsageOID.OCSP_SIGNING]) if delegated else None
    server = responder(
        ("V", good.certificate, ""),
        ("R", gone.certificate, "keyCompromise"),
        ("R", held.certificate, "certificateHold"),
        by=by,
    )
    site.hand_on("/ocsp", server.start())
    found = await asked(fetcher, eshs, good)
    assert (found.word.state, found.material.kind, found.origin) == ("good", "ocsp", url)
    assert isinstance(status(good.der(), eshs.der(), [found.material], NOW), Good)
    found = await asked(fetcher, eshs, gone)
    assert (found.word.state, found.word.reason) == ("revoked", "keyCompromise")
    since = gone.certificate.not_valid_before_utc
    assert status(gone.der(), eshs.der(), [found.material], NOW) == Revoked(since, "keyCompromise")
    assert (await asked(fetcher, eshs, held)).word.state == "hold"
    assert "unknown to its own authority" in await refused(fetcher, eshs, strange)


@pytest.mark.oracle
async def test_a_responder_that_nobody_made_one(eshs, site, fetcher, responder):
    ali = eshs.issue(responders=[site.url("/ocsp")])
    for by in (eshs.issue(), Eshs(at=NOW).issue("OCSP", extended=[ExtendedKeyUsageOID.OCSP_SIGNING])):
        server = responder(("V", ali.certificate, ""), by=by)
        site.hand_on("/ocsp", server.start())
        assert "its signer may not say it" in await refused(fetcher, eshs, ali)
        server.stop()


@pytest.mark.oracle
async def test_sha1_signs_nothing(eshs, site, fetcher, responder):
    ali = eshs.issue(responders=[site.url("/ocsp")])
    server = responder(("V", ali.certificate, ""), options=("-ndays", "1", "-rmd", "sha1"))
    site.hand_on("/ocsp", server.start())
    assert "its signer may not say it" in await refused(fetcher, eshs, ali)


async def test_old_and_future_answers(eshs, site, fetcher):
    ali = eshs.issue(responders=[site.url("/ocsp")])
    site.pages["/ocsp"] = eshs.response(ali, at=NOW - 3 * DAY)
    assert "an old answer" in await refused(fetcher, eshs, ali)
    site.pages["/ocsp"] = eshs.response(ali, at=NOW + DAY)
    assert "of the future" in await refused(fetcher, eshs, ali)
    # what was revoked is so, however old the word
    site.pages["/ocsp"] = eshs.response(ali, ocsp.OCSPCertStatus.REVOKED, at=NOW - 3 * DAY)
    assert (await asked(fetcher, eshs, ali)).word.state == "revoked"
    site.pages["/ocsp"] = eshs.response(eshs.issue())
    assert "another certificate" in await refused(fetcher, eshs, ali)
    site.pages["/ocsp"] = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(
        Encoding.DER
    )
    assert await refused(fetcher, eshs, ali)


async def test_the_list_when_the_responder_does_not_help(eshs, site, fetcher):
    site.pages["/list"] = eshs.crl(eshs.issue(), at=NOW)
    ali, veli = (eshs.issue(responders=[site.url("/none")], lists=[site.url("/list")]) for _ in range(2))
    lists = {}
    found = await asked(fetcher, eshs, ali, lists)
    assert (found.word.state, found.material.kind, found.origin) == ("good", "crl", site.url("/list"))
    assert (await asked(fetcher, eshs, veli, lists)).word.state == "good"
    assert [path for method, path, _ in site.asked if method == "GET"] == ["/list"]  # once for all of an issuer
    site.pages["/list"] = eshs.crl(ali, at=NOW)
    assert (await asked(fetcher, eshs, ali)).word.state == "revoked"
    site.pages["/list"] = Eshs(at=NOW).crl(at=NOW)  # the same name, another key
    assert "HTTP 404" in await refused(fetcher, eshs, ali)
    assert "its signer may not say it" in await refused(fetcher, eshs, ali)


async def test_hostile_answers(eshs, site):
    fetcher = HttpFetcher(timeout=0.5, largest=20_000, private=True)
    ali = eshs.issue(responders=[site.url("/ocsp")])
    release = threading.Event()

    def slow(handler):
        handler.send_response(200)
        handler.end_headers()
        while not release.wait(0.1):  # drips: no single read takes long
            handler.wfile.write(b"0")

    def creeping(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not release.wait(0.1):
            handler.wfile.write(b"X-More: y\r\n")

    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(bytes(65536))

    def packed(handler):
        handler.give(b"\x1f\x8b\x08", Content_Encoding="gzip")

    pages = {
        "no whole answer": slow,
        "whole answer within": creeping,
        "over 20000 octets": endless,
        "redirects": lambda handler: handler.give(b"", 302, Location=site.url("/ocsp")),
        "not asked": lambda handler: handler.give(b"", 302, Location="file:///etc/passwd"),
        "HTTP 500": lambda handler: handler.give(b"", 500),
        "compressed": packed,
        "the answer is none": bytes(range(256)) * 8,
        "the answer is none|Error": b"",
    }
    try:
        for reason, page in pages.items():
            site.pages["/ocsp"] = page
            told = await refused(fetcher, eshs, ali)
            assert any(each in told for each in reason.split("|")), (reason, told)
        site.pages["/ocsp"] = lambda handler: handler.give(b"", 307, Location="/moved")
        site.pages["/moved"] = eshs.response(ali, at=NOW)
        assert (await asked(fetcher, eshs, ali)).word.state == "good"
    finally:
        release.set()
        await fetcher.close()


async def test_nobody_there(eshs, fetcher):
    site = Site()
    ali = eshs.issue(responders=[site.url("/ocsp")])
    site.stop()
    assert "Connect" in await refused(fetcher, eshs, ali)
    assert "no address" in await refused(fetcher, eshs, eshs.issue())


async def test_private_networks(eshs, site):
    fetcher = HttpFetcher(timeout=1.0)
    ali = eshs.issue(
        responders=[site.url("/ocsp"), f"http://localhost:{site.port}/ocsp", "http://[::1]/", "ldap://x/y"]
    )
    told = await refused(fetcher, eshs, ali)
    assert told.count("private network") == 3
    assert not site.asked
    await fetcher.close()
    shut = ("10.1.2.3", "127.0.0.1", "169.254.169.254", "192.168.0.1", "::1", "fe80::1%eth0", "fd00::1",
            "::ffff:10.0.0.1", "0.0.0.0", "100.64.0.1", "224.0.0.1")  # fmt: skip
    assert not [each for each in shut if public(each)]
    assert public("193.140.0.1")
    assert public("2001:db8::1") is False
    assert public("2a00:1450::1")


@pytest.mark.oracle
def test_openssl_reads_our_question(eshs, tmp_path):
    ali = eshs.issue()
    (tmp_path / "q").write_bytes(ocsp_request(ali.der(), eshs.der()))
    told = subprocess.run(["openssl", "ocsp", "-reqin", tmp_path / "q", "-req_text"], capture_output=True, text=True,
                          check=True).stdout  # fmt: skip
    assert f"{ali.certificate.serial_number:X}" in told
    assert "Nonce" not in told
    name = hashes.Hash(hashes.SHA1())
    name.update(eshs.certificate.subject.public_bytes())
    assert name.finalize().hex().upper() in told
