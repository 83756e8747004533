"""Time stamps as the configuration wants them."""

from datetime import timedelta

from kepgw.app.config import Config
from kepgw.interop.stamps import Authority, Stamping
from kepgw.trust.circuit import Waits
from kepgw.trust.stamping import Access, Demands


def stamping_of(config: Config) -> Stamping:
    """Time-stamp authorities and how they are asked, from the configuration."""
    stamping, bound = config.stamping, timedelta(seconds=config.stamping.clock_bound)
    authorities = [
        Authority(
            each.kind,
            each.url,
            each.timeout,
            Access(user=each.user, **each.files),
            Demands(each.policy, timedelta(seconds=each.accuracy) if each.accuracy else None, bound),
        )
        for each in config.tsa
    ]
    return Stamping(
        authorities=tuple(authorities),
        tsa_key=config.keys.tsa_key,
        tsa_certificates=tuple(config.keys.tsa_certificates),
        anchors=tuple(config.trust.anchors),
        digest=stamping.digest,
        waits=Waits(stamping.retry_first, stamping.retry_max),
        wrong_waits=Waits(stamping.wrong_first, stamping.wrong_max),
        clock=bound,
    )
