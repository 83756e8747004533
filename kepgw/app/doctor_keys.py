"""``kepgw doctor`` on the process keys: each with its certificate, its time, its chain, and its token."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from kepgw.app.config import Config
from kepgw.app.finding import Finding, lifetime
from kepgw.app.settings import ProcessKey
from kepgw.errors import ConfigurationError, SignatureInvalid, SigningUnavailable
from kepgw.trust.keys import CertifiedKey
from kepgw.trust.paths import load_anchors, validate
from kepgw.trust.pkcs11key import TokenKey

RENEW = "add the new key as another [[keys.process]] and send your new card to every peer before the old one ends"


def examine_keys(config: Config, at: datetime) -> Iterator[Finding]:
    """Findings about every process key. A token gets its PIN once, and not when a wrong one was given last."""
    keys: list[tuple[str, ProcessKey, CertifiedKey]] = []
    several = len(config.keys.process) > 1
    for number, setting in enumerate(config.keys.process, 1):
        what = f"process certificate {number}" if several else "process certificate"
        try:
            keys.append((what, setting, setting.place.certified()))
        except ConfigurationError as error:
            yield Finding("problem", what, str(error), "correct [[keys.process]] in kepgw.toml, or the files it names")
    certified = [key for _, _, key in keys]
    signing = max((key for key in certified if key.not_before <= at <= key.not_after), key=_begin, default=None)
    for what, setting, key in keys:
        duty = "; signs now" if key is signing and several else ""
        yield Finding("ok", what, f"may sign with {key.algorithm}{duty}; SHA-256 {key.fingerprint}")
        if setting.pkcs11 is None:
            yield Finding("ok", what, "fits its key")
        elif at <= key.not_after:
            yield _token(what, setting)
        yield _time(what, key, certified, signing, at)
        yield _address(what, key, config)
        yield _path(what, key, config, at)


def _begin(key: CertifiedKey) -> datetime:
    return key.not_before


def _token(what: str, setting: ProcessKey) -> Finding:
    try:
        key = setting.place.key()
        assert isinstance(key, TokenKey)
        key.check(careful=True)
    except (ConfigurationError, SigningUnavailable) as error:
        return Finding("problem", what, str(error), "correct [keys.process.pkcs11], or see to the token and its PIN")
    return Finding("ok", what, f"fits its key on the token {key.place.token}")


def _time(
    what: str, key: CertifiedKey, keys: Sequence[CertifiedKey], signing: CertifiedKey | None, at: datetime
) -> Finding:
    if at < key.not_before:
        detail = f"is not valid before {key.not_before:%Y-%m-%d %H:%M}Z"
        if signing is None:
            return Finding("problem", what, f"{detail}, and no other is now", "check the clock, or wait")
        return Finding("ok", what, f"{detail}, signs from then on, {key.days_left(at)} days left")
    if key.not_after < at and signing is not None:
        return Finding(
            "ok", what, f"ended {key.not_after:%Y-%m-%d}; remove it when nothing that it signed is under way"
        )
    # one that goes on without a gap
    heir = any(other.not_after > key.not_after and other.not_before <= key.not_after for other in keys)
    if heir and at <= key.not_after:
        return Finding("ok", what, f"until {key.not_after:%Y-%m-%d}, {key.days_left(at)} days left; another goes on")
    without = "; without one nothing is accepted or signed"
    return lifetime(what, key.days_left(at), key.not_after, f"get a new process certificate, {RENEW}{without}")


def _address(what: str, key: CertifiedKey, config: Config) -> Finding:
    addresses = [address.lower() for address in key.addresses]
    if config.provider.service_address in addresses:
        return Finding("ok", what, f"rfc822Name {config.provider.service_address}")
    return Finding(
        "problem",
        what,
        f"its rfc822Name is {', '.join(addresses) or 'missing'}, not {config.provider.service_address}",
        "set provider.service_address to the address in the certificate, or have the certificate reissued",
    )


def _path(what: str, key: CertifiedKey, config: Config, at: datetime) -> Finding:
    moment = min(max(at, key.not_before), key.not_after)  # its time is told apart
    try:
        chain = validate(key.certificate, key.chain, load_anchors(config.trust.anchors), moment)
    except (SignatureInvalid, ConfigurationError) as error:
        remedy = "put the intermediates in certificates of [[keys.process]] and the root in trust.anchors"
        return Finding("problem", what, f"leads to no trusted root: {error}", remedy)
    return Finding("ok", what, f"leads over {len(chain) - 1} certificates to a root of trust.anchors")
