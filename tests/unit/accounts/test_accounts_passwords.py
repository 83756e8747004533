import base64
import hashlib
import hmac
import re

import argon2
import pytest

from kepgw.accounts import passwords
from kepgw.accounts.passwords import MAX_OCTETS, PasswordError, make, verify

GOOD = "doğru at pil zımba"


@pytest.fixture(scope="module")
def credentials():
    return make(GOOD)


def test_the_right_password_and_no_other(credentials):
    assert verify(credentials.argon2, GOOD)
    assert not verify(credentials.argon2, GOOD + " ")
    assert not verify(credentials.argon2, GOOD.upper())
    assert not verify(credentials.argon2, "")


def test_the_cost_is_the_decided_one(credentials):
    parameters = argon2.extract_parameters(credentials.argon2)
    assert parameters.type is argon2.Type.ID
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19 * 1024, 2, 1)


def test_an_independent_argon2_takes_the_hash(credentials):
    assert argon2.low_level.verify_secret(credentials.argon2.encode(), GOOD.encode(), argon2.low_level.Type.ID)


def test_salts_are_fresh(credentials):
    again = make(GOOD)
    assert again.argon2 != credentials.argon2
    assert again.scram_sha256 != credentials.scram_sha256


def test_composed_and_decomposed_letters_are_one_password(credentials):
    assert verify(make("\u015fifre").argon2, "s\u0327ifre")


def test_an_unknown_user_costs_the_same_work(monkeypatch, credentials):
    seen = []

    class Counting(argon2.PasswordHasher):
        def verify(self, hash, password):
            seen.append(argon2.extract_parameters(hash))
            return super().verify(hash, password)

    monkeypatch.setattr(passwords, "_HASHER", Counting(time_cost=2, memory_cost=19 * 1024, parallelism=1))
    assert not verify(None, GOOD)
    assert not verify(credentials.argon2, "wrong")
    assert not verify(credentials.argon2, "x" * 100_000)  # unusable input must not be quicker either
    assert len(seen) == 3
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("bad", ["", "a\0b", "x" * (MAX_OCTETS + 1), "ş" * (MAX_OCTETS // 2 + 1), "\ud800"])
def test_unusable_passwords_are_refused_and_never_match(bad, credentials):
    with pytest.raises(PasswordError):
        make(bad)
    assert not verify(credentials.argon2, bad)
    assert not verify(None, bad)


def test_the_stand_in_for_unusable_input_opens_nothing():
    # A hash of the octet that stands in for an unusable password must not let one in.
    stored = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash(b"\0")
    assert not verify(stored, "x" * (MAX_OCTETS + 1))
    assert not verify(stored, "\0")


def test_the_longest_password():
    longest = "x" * MAX_OCTETS
    assert verify(make(longest).argon2, longest)


@pytest.mark.parametrize("stored", ["", "plain", "$argon2id$v=19$m=19456,t=2,p=1$bad", "ş"])
def test_a_broken_row_lets_nobody_in(stored):
    assert not verify(stored, GOOD)


def test_scram_verifier_proves_the_exchange_of_rfc_5802(credentials):
    form = r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)"
    iterations, salt, stored_key, server_key = re.fullmatch(form, credentials.scram_sha256).groups()
    assert int(iterations) >= 4096
    # The client's side, RFC 5802 3, with an authentication message of its own.
    salted = hashlib.pbkdf2_hmac("sha256", GOOD.encode(), base64.b64decode(salt), int(iterations))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    message = b"n=a,r=x,r=xy,s=z,i=4096,c=biws,r=xy"
    proof = bytes(
        a ^ b
        for a, b in zip(client_key, hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256"), strict=True)
    )
    # The server's side, from the verifier alone.
    signature = hmac.digest(base64.b64decode(stored_key), message, "sha256")
    recovered = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    assert hashlib.sha256(recovered).digest() == base64.b64decode(stored_key)
    assert hmac.digest(salted, b"Server Key", "sha256") == base64.b64decode(server_key)


def test_scram_key_derivation_against_the_published_exchange():
    # RFC 7677 3: user "user", password "pencil".
    made = passwords._scram(b"pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    _, _, stored_key, server_key = re.fullmatch(r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)", made).groups()
    message = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    server_signature = hmac.digest(base64.b64decode(server_key), message, "sha256")
    assert base64.b64encode(server_signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    client_signature = hmac.digest(base64.b64decode(stored_key), message, "sha256")
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client_key = bytes(a ^ b for a, b in zip(proof, client_signature, strict=True))
    assert hashlib.sha256(client_key).digest() == base64.b64decode(stored_key)
