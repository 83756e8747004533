"""SCRAM against the exchange of RFC 7677, a client that is not ours, and clients that cheat."""

import base64

import pytest
import scramp

from kepgw.accounts import passwords
from kepgw.accounts.sasl import ActsForAnother, SaslRefused
from kepgw.accounts.scram import ScramServer, Verifier

# RFC 7677 3
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
CHALLENGE = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
FINAL = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
SIGNATURE = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
BINDING = bytes(range(32))


def verifier(password="pencil", salt=SALT):
    read = Verifier.parse(passwords._scram(passwords.prepare(password), salt))
    assert read is not None
    return read


def test_the_exchange_of_the_rfc():
    server = ScramServer(plus=False, end_point=None, nonce=NONCE)
    assert server.first(FIRST) == "user"
    assert server.challenge(verifier()) == CHALLENGE
    assert server.final(FINAL, verifier()) == SIGNATURE


@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize("password", ["gizli", "çok gizli şifre", "a=b,c"])
def test_a_client_that_is_not_ours(plus, password):
    name = "ali=veli,ayşe@hs90.kep.tr"
    mechanism = "SCRAM-SHA-256-PLUS" if plus else "SCRAM-SHA-256"
    binding = ("tls-server-end-point", BINDING) if plus else None
    client = scramp.ScramClient([mechanism], name, password, channel_binding=binding)
    server = ScramServer(plus=plus, end_point=BINDING if plus else None)
    kept = verifier(password, b"0123456789abcdef")
    assert server.first(client.get_client_first().encode()) == name
    client.set_server_first(server.challenge(kept).decode())
    signature = server.final(client.get_client_final().encode(), kept)
    assert signature is not None
    client.set_server_final(signature.decode())  # raises when the server's signature is wrong


@pytest.mark.parametrize("place", range(len(FINAL) - 44, len(FINAL) - 1, 7))
def test_a_proof_with_another_octet(place):
    altered = bytearray(FINAL)
    altered[place] = ord("A") if altered[place] != ord("A") else ord("B")
    server = ScramServer(plus=False, end_point=None, nonce=NONCE)
    server.first(FIRST)
    server.challenge(verifier())
    assert server.final(bytes(altered), verifier()) is None


def test_another_password():
    server = ScramServer(plus=False, end_point=None, nonce=NONCE)
    server.first(FIRST)
    server.challenge(verifier("pen"))
    assert server.final(FINAL, verifier("pen")) is None


@pytest.mark.parametrize(
    ("first", "plus", "end_point"),
    [
        (b"y,,n=user,r=12345678", False, BINDING),  # somebody hid our -PLUS (RFC 5802 6)
        (b"p=tls-server-end-point,,n=user,r=12345678", False, BINDING),
        (b"n,,n=user,r=12345678", True, BINDING),
        (b"y,,n=user,r=12345678", True, BINDING),
        (b"p=tls-unique,,n=user,r=12345678", True, BINDING),
        (b"p=tls-server-end-point,,n=user,r=12345678", True, None),
        (b"n,,m=x,n=user,r=12345678", False, None),  # a mandatory extension that we do not know
        (b"n,,n=user", False, None),
        (b"n,,r=12345678,n=user", False, None),
        (b"n,,n=,r=12345678", False, None),
        (b"n,,n=us=er,r=12345678", False, None),
        (b"n,,n=user,r=1234567", False, None),
        (b"n,,n=user,r=" + b"1" * 513, False, None),
        (b"n,,n=us\0er,r=12345678", False, None),
        (b"n=user,r=12345678", False, None),
        (b"", False, None),
        (b"\xff\xfe", False, None),
        (b"n,,n=user,r=12345678," + b"x" * 5000, False, None),
    ],
)
def test_first_refused(first, plus, end_point):
    with pytest.raises(SaslRefused):
        ScramServer(plus=plus, end_point=end_point).first(first)


def test_nobody_acts_for_another():
    with pytest.raises(ActsForAnother):
        ScramServer(plus=False, end_point=None).first(b"n,a=veli,n=ali,r=12345678")
    assert ScramServer(plus=False, end_point=None).first(b"n,a=ALI,n=ali,r=12345678") == "ali"


@pytest.mark.parametrize(
    "final",
    [
        FINAL.replace(b"c=biws", b"c=eSws"),  # bound to another header
        FINAL.replace(b"k0,p=", b"k1,p="),
        FINAL.replace(b"c=biws,", b""),
        FINAL.split(b",p=")[0],
        b"c=?,r=x,p=y",
        b"",
    ],
)
def test_final_refused(final):
    server = ScramServer(plus=False, end_point=None, nonce=NONCE)
    server.first(FIRST)
    server.challenge(verifier())
    with pytest.raises(SaslRefused):
        server.final(final, verifier())


def test_a_login_from_another_channel():
    """Someone in the middle passes an honest client's messages on; the binding is to another certificate."""
    client = scramp.ScramClient(
        ["SCRAM-SHA-256-PLUS"], "ali", "gizli", channel_binding=("tls-server-end-point", b"\1" * 32)
    )
    server = ScramServer(plus=True, end_point=BINDING)
    server.first(client.get_client_first().encode())
    kept = verifier("gizli")
    client.set_server_first(server.challenge(kept).decode())
    with pytest.raises(SaslRefused):
        server.final(client.get_client_final().encode(), kept)


def test_who_exists_is_not_told():
    secret = b"s" * 32
    one, two = Verifier.nobodys("yok@hs90.kep.tr", secret), Verifier.nobodys("yok@hs90.kep.tr", secret)
    assert (one.salt, one.iterations) == (two.salt, two.iterations)
    assert len(one.salt) == len(verifier().salt)
    assert Verifier.nobodys("baska@hs90.kep.tr", secret).salt != one.salt


@pytest.mark.parametrize(
    "stored", ["", "x", "SCRAM-SHA-1$4096:AA==$AA==:AA==", "SCRAM-SHA-256$0:AA==$AA==:AA==", "SCRAM-SHA-256$x$y"]
)
def test_a_damaged_row(stored):
    assert Verifier.parse(stored) is None
