"""Every reader of octets that come from outside, as one function each: it reads or refuses, and nothing else.

``READERS`` maps a name to a function that takes any octets. What is not FormatError, SignatureInvalid or the reader's
own way to refuse comes out of it: that is a finding. ``SEEDS`` gives honest octets for each.
"""

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import fuzz_samples as samples

from kepgw.errors import ConfigurationError, FormatError, SignatureInvalid, StampUnavailable
from kepgw.evidence import certificates, evidencerecord, ledger, reading, render, xades
from kepgw.imap import grammar_command
from kepgw.interop.card import read_card
from kepgw.message import addresses, headers, original, usersignature, words
from kepgw.message.envelope import open_envelope
from kepgw.message.rendering import render as render_message
from kepgw.refusals import Refusal
from kepgw.smtp import grammar as smtp
from kepgw.trust import algorithms, cmsreading, judge, keys, paths, revocation, tokens
from kepgw.trust import certificates as shown
from kepgw.trust import usersignature as judged_user
from kepgw.trust.useranchors import Believed

NO = (FormatError, SignatureInvalid)


def _evidence(octets: bytes) -> None:
    with suppress(*NO):
        xades.verify(octets)
    with suppress(*NO):
        said = reading.read(octets)
        assert render.to_text(said)
        assert render.to_html(said)
    judge.judge_evidence(octets, samples.anchors(), samples.AT)


def _cms(octets: bytes) -> None:
    with suppress(*NO):
        read = cmsreading.read(octets)
        paths.validate(read.signer, read.certificates, samples.anchors(), samples.AT)
    with suppress(SignatureInvalid):
        cmsreading.verify(octets, samples.DIGEST)


def _token(octets: bytes) -> None:
    with suppress(*NO):
        tokens.read_token(octets)
    with suppress(SignatureInvalid):
        tokens.verify_token(octets, samples.DIGEST, samples.anchors(), nonce=samples.NONCE)


def _response(octets: bytes) -> None:
    with suppress(StampUnavailable, SignatureInvalid):
        tokens.verify_token(tokens.read_response(octets), samples.DIGEST, samples.anchors(), nonce=samples.NONCE)


def _request(octets: bytes) -> None:
    with suppress(FormatError):
        asked = tokens.read_request(octets)
        tokens.build_request(asked.digest, asked.nonce)


def _certificate(octets: bytes) -> None:
    for usage in ("sign", "stamp", "user"):
        with suppress(SignatureInvalid):
            paths.validate(octets, (octets,), samples.anchors(), samples.AT, usage=usage)
    with suppress(SignatureInvalid):
        # as an authority between
        others = (octets, samples.issuer_der())
        paths.validate(samples.process_key().certificate, others, samples.anchors(), samples.AT)
    with suppress(SignatureInvalid):
        algorithms.public_key(octets)
    with suppress(SignatureInvalid):
        judged_user.qualified(octets)
    with suppress(ValueError):
        certificates.names_certificate(octets, samples.process_key().certificate)
    with suppress(ConfigurationError):
        keys.describe(octets)
    shown.summary(octets)
    shown.highest(octets, (octets, *samples.anchors()))


def _revocation(octets: bytes) -> None:
    chain = (samples.process_key().certificate, samples.issuer_der(), samples.anchors()[0])
    for below, above in pairwise(chain):
        revocation.crl_word(octets, below, above)
        revocation.response_word(octets, below, above)
    revocation.responders(octets)
    revocation.verified(octets, chain[-1])


def _envelope(octets: bytes) -> None:
    with suppress(FormatError):
        open_envelope(octets)


def _message(octets: bytes) -> None:
    with suppress(FormatError):
        judge.judge_message(octets, samples.anchors(), samples.AT)


def _structure(octets: bytes) -> None:
    render_message(octets)


def _header(octets: bytes) -> None:
    with suppress(Refusal):
        original.inspect(octets[: headers.split(octets)[0]])


def _addresses(octets: bytes) -> None:
    for box in addresses.addresses(octets):
        assert isinstance(addresses.write_mailbox(box.name, box.address), str)


def _words(octets: bytes) -> None:
    for entry in headers.fields(octets):
        assert isinstance(entry.text, str)


def _own_field(octets: bytes) -> None:
    # what a stranger wrote, repeated in a header of ours
    headers.field("Subject", words.decode_text(octets))
    headers.field("To", words.decode_text(octets))


def _user_signature(octets: bytes) -> None:
    with suppress(*NO):
        found = usersignature.find(octets)
        if found is not None:
            judged_user.verify(octets, found, Believed(samples.anchors()), samples.AT)


def _record(octets: bytes) -> None:
    def judged(token: bytes, digest: bytes):
        return tokens.verify_token(token, digest, samples.anchors()).time

    with suppress(*NO):
        evidencerecord.verify(octets, [samples.CONTENT], judged)


def _ledger(octets: bytes) -> None:
    with suppress(*NO):
        ledger.read_proof(octets).check()
    with suppress(FormatError):
        ledger.read_head(octets).read()
    with suppress(FormatError):
        ledger.read_statement(octets)


def _card(octets: bytes) -> None:
    with suppress(ConfigurationError):
        read_card(octets.decode("utf-8", "replace"))


def _imap(octets: bytes) -> None:
    with suppress(FormatError):
        command, _ = grammar_command.Command.parse(memoryview(octets))
        again, _ = grammar_command.Command.parse(memoryview(bytes(command)))
        assert again == command


def _smtp(octets: bytes) -> None:
    offered = smtp.Offered(frozenset({"SIZE", "BODY", "RET", "ENVID", "NOTIFY", "ORCPT", "AUTH"}))
    for read in (
        lambda: smtp.command(octets),
        lambda: smtp.mail(octets.decode("ascii"), offered),
        lambda: smtp.rcpt(octets.decode("ascii"), offered),
        lambda: smtp.greeting(octets.decode("ascii")),
        lambda: smtp.bdat(octets.decode("ascii")),
    ):
        with suppress(smtp.SyntaxRefused, UnicodeDecodeError):
            read()


READERS: dict[str, Callable[[bytes], None]] = {
    "evidence": _evidence,
    "cms": _cms,
    "token": _token,
    "response": _response,
    "request": _request,
    "certificate": _certificate,
    "revocation": _revocation,
    "envelope": _envelope,
    "message": _message,
    "structure": _structure,
    "header": _header,
    "addresses": _addresses,
    "words": _words,
    "own-field": _own_field,
    "user-signature": _user_signature,
    "record": _record,
    "ledger": _ledger,
    "card": _card,
    "imap": _imap,
    "smtp": _smtp,
}

SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "evidence": lambda: [samples.evidence()],
    "cms": lambda: [samples.signature(), samples.token()],
    "token": lambda: [samples.token()],
    "response": lambda: [samples.response()],
    "request": lambda: [samples.request()],
    "certificate": lambda: [samples.process_key().certificate, *samples.process_key().chain, *samples.anchors()],
    "revocation": lambda: [samples.crl(), samples.ocsp_response()],
    "envelope": lambda: [samples.dispatch()],
    "message": lambda: [samples.dispatch()],
    "structure": lambda: [samples.dispatch(), samples.ORIGINAL],
    "header": lambda: [samples.ORIGINAL, samples.ORIGINAL[: samples.ORIGINAL.index(b"\r\n\r\n") + 2]],
    "addresses": lambda: [b'=?utf-8?q?a?= <a@b>, "x\\"" <@c,@d:e@f>, g: h@i (j), k@[l];, m . n@o'],
    "words": lambda: [samples.ORIGINAL],
    "own-field": lambda: [b"=?utf-8?b?xLBtemE=?= =?iso-8859-9?q?l=FD?= a@b"],
    "user-signature": lambda: [samples.user_signed()],
    "record": lambda: [samples.record()],
    "ledger": lambda: [samples.proof()],
    "card": lambda: [samples.card()],
    "imap": lambda: [
        b'a APPEND INBOX (\\Seen) "01-Jan-2026 00:00:00 +0000" {3+}\r\nabc\r\n',
        b"a UID FETCH 1:*,3 (UID BODY.PEEK[1.2.HEADER.FIELDS (To Cc)]<0.5> ENVELOPE)\r\n",
        b'a UID SEARCH RETURN (ALL) OR NOT (FROM "a" SINCE 1-Jan-2026) HEADER To {1+}\r\nx LARGER 4\r\n',
        b'a LIST (SUBSCRIBED) "" (% "*") RETURN (STATUS (MESSAGES UIDNEXT))\r\n',
        b"a STORE 1:2 (UNCHANGEDSINCE 4) +FLAGS.SILENT (\\Deleted $x)\r\n",
    ],
    "smtp": lambda: [
        b"MAIL FROM:<ali@hs90.kep.tr> SIZE=4\r\n",
        b"FROM:<ali@hs90.kep.tr> SIZE=4 BODY=8BITMIME RET=HDRS ENVID=x+2B",
        b'FROM:<"a\\ b"@hs90.kep.tr> AUTH=<>',
        b"TO:<@a,@b:veli@hs91.kep.tr> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x@y",
        b"4 LAST",
    ],
}
