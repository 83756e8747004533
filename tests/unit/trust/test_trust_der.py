from asn1crypto import cms

from kepgw.trust import der


def test_octets_stay_as_given_whatever_their_length():
    """asn1crypto's dump sorts this SET: it takes the last octet of the length, 80, for an indefinite one."""
    values = der.octet_string(b"b") + der.octet_string(b"a") + der.octet_string(b"x" * 114)
    octets = der.sequence(der.oid("1.2.3"), der.tlv(0x31, values))
    assert octets[:3] == b"\x30\x81\x80"
    assert der.as_given(cms.CMSAttribute.load(octets)) == octets
