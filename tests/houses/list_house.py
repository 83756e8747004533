"""A scheme operator for tests: trusted lists and capability files, written and signed as TS 119 612 has them."""

import base64
from datetime import UTC, datetime, timedelta
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from kepgw.evidence import xades

STATUS = "http://uri.etsi.org/TrstSvc/TrustedList/Svcstatus/"
TYPE = "http://uri.etsi.org/TrstSvc/Svctype/"


def utc(at):
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


class Operator:
    """Signs lists; its certificate is its own."""

    chain = ()
    algorithm = "ecdsa-sha256"

    def __init__(self, name="Liste İşletmecisi", at=None, days=365):
        at = at or datetime.now(UTC)
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            x509.CertificateBuilder(subject, subject, self._key.public_key(), x509.random_serial_number())
            .not_valid_before(at - timedelta(days=30))
            .not_valid_after(at + timedelta(days=days))
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = made.public_bytes(Encoding.DER)
        self.pem = made.public_bytes(Encoding.PEM)

    def sign(self, data):
        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))

    def list(self, sequence, services, issued, next_update=timedelta(days=30)):
        """A signed list; ``next_update`` is a time, a span behind ``issued``, or None for a closed list."""
        return xades.sign(write_list(sequence, services, issued, next_update), self, issued, None)

    def capabilities(self, sequence, tls, issued, next_update=timedelta(days=30), host="mx.hs91.kep.tr"):
        return xades.sign(write_capabilities(sequence, tls, issued, next_update, host), self, issued, None)


def service(certificate, *states, name="hs91", type="EDS/REM", points=("smtp:mx.hs91.kep.tr:25",)):
    """An entry; ``states`` are (status, since) with the newest first, ``certificate`` DER or several."""
    several = [certificate] if isinstance(certificate, bytes) else certificate
    identity = "".join(
        f"<DigitalId><X509Certificate>{base64.b64encode(each).decode()}</X509Certificate></DigitalId>"
        for each in several
    )
    named = f'<ServiceName><Name xml:lang="en">{escape(name)}</Name></ServiceName>'

    def state(status, since, identity):
        return (
            f"<ServiceTypeIdentifier>{TYPE}{type}</ServiceTypeIdentifier>{named}"
            f"<ServiceDigitalIdentity>{identity}</ServiceDigitalIdentity>"
            f"<ServiceStatus>{STATUS}{status}</ServiceStatus><StatusStartingTime>{utc(since)}</StatusStartingTime>"
        )

    supply = "".join(f"<ServiceSupplyPoint>{escape(each)}</ServiceSupplyPoint>" for each in points)
    subject = "<DigitalId><X509SubjectName>CN=before</X509SubjectName></DigitalId>"
    history = "".join(
        f"<ServiceHistoryInstance>{state(*each, subject)}</ServiceHistoryInstance>" for each in states[1:]
    )
    return (
        f"<TSPService><ServiceInformation>{state(*states[0], identity)}"
        + (f"<ServiceSupplyPoints>{supply}</ServiceSupplyPoints>" if points else "")
        + "</ServiceInformation>"
        + (f"<ServiceHistory>{history}</ServiceHistory>" if history else "")
        + "</TSPService>"
    )


def write_list(sequence, services, issued, next_update=timedelta(days=30)):
    if isinstance(next_update, timedelta):
        next_update = issued + next_update
    ends = "" if next_update is None else f"<dateTime>{utc(next_update)}</dateTime>"
    uri = '<URI xml:lang="en">https://lists.example/</URI>'
    address = (
        '<PostalAddresses><PostalAddress xml:lang="en"><StreetAddress>1</StreetAddress><Locality>Ankara</Locality>'
        "<CountryName>TR</CountryName></PostalAddress></PostalAddresses>"
        f"<ElectronicAddress>{uri}</ElectronicAddress>"
    )
    return (
        '<TrustServiceStatusList xmlns="http://uri.etsi.org/02231/v2#" TSLTag="http://uri.etsi.org/19612/TSLTag">'
        f"<SchemeInformation><TSLVersionIdentifier>5</TSLVersionIdentifier>"
        f"<TSLSequenceNumber>{sequence}</TSLSequenceNumber>"
        "<TSLType>http://uri.etsi.org/TrstSvc/TrustedList/TSLType/EUgeneric</TSLType>"
        '<SchemeOperatorName><Name xml:lang="tr">İşletmeci</Name><Name xml:lang="en">Operator</Name>'
        f"</SchemeOperatorName><SchemeOperatorAddress>{address}</SchemeOperatorAddress>"
        f'<SchemeName><Name xml:lang="en">TR:list</Name></SchemeName><SchemeInformationURI>{uri}</SchemeInformationURI>'
        "<StatusDeterminationApproach>http://uri.etsi.org/TrstSvc/TrustedList/StatusDetn/EUappropriate"
        "</StatusDeterminationApproach><SchemeTerritory>TR</SchemeTerritory>"
        "<HistoricalInformationPeriod>65535</HistoricalInformationPeriod>"
        f"<ListIssueDateTime>{utc(issued)}</ListIssueDateTime><NextUpdate>{ends}</NextUpdate></SchemeInformation>"
        '<TrustServiceProviderList><TrustServiceProvider><TSPInformation><TSPName><Name xml:lang="en">Providers</Name>'
        f'</TSPName><TSPTradeName><Name xml:lang="en">P</Name></TSPTradeName><TSPAddress>{address}</TSPAddress>'
        f"<TSPInformationURI>{uri}</TSPInformationURI></TSPInformation><TSPServices>{''.join(services)}</TSPServices>"
        "</TrustServiceProvider></TrustServiceProviderList></TrustServiceStatusList>"
    ).encode()


def write_capabilities(sequence, tls, issued, next_update=timedelta(days=30), host="mx.hs91.kep.tr"):
    uri = '<tl:URI xml:lang="en">https://hs91.example/</tl:URI>'
    return (
        '<tns:CapabilityAndSecurityInformation xmlns:tns="http://uri.etsi.org/19532/v1#"'
        ' xmlns:tl="http://uri.etsi.org/02231/v2#" xmlns:ci="http://uri.etsi.org/19522/v1#" version="EN319532v1"'
        ' Id="csi"><tns:SchemeData><tns:CSIVersionIdentifier>1</tns:CSIVersionIdentifier>'
        f"<tns:CSISequenceNumber>{sequence}</tns:CSISequenceNumber>"
        '<tns:CSISchemeOperatorName><tl:Name xml:lang="en">Operator</tl:Name></tns:CSISchemeOperatorName>'
        f"<tns:CSISchemeInformationURI>{uri}</tns:CSISchemeInformationURI>"
        f"<tns:CSIIssueDateTime>{utc(issued)}</tns:CSIIssueDateTime>"
        f"<tns:CSINextUpdate><tl:dateTime>{utc(issued + next_update)}</tl:dateTime></tns:CSINextUpdate>"
        "</tns:SchemeData><tns:CapabilityMetadata><ci:ERDSMetadata version='EN319522v1.1.1'>"
        f"<ERDSDomain>{host}</ERDSDomain><ERDSGoverningBody>hs91</ERDSGoverningBody>"
        "<ERDSProfileSupported>http://uri.etsi.org/19532/v1#/REMbaseline</ERDSProfileSupported>"
        "</ci:ERDSMetadata></tns:CapabilityMetadata><tns:SecurityMetadata>"
        f"<tns:CapabilityBasedSecurity version='EN319532v1'><tns:TLSCertificate>{base64.b64encode(tls).decode()}"
        "</tns:TLSCertificate></tns:CapabilityBasedSecurity></tns:SecurityMetadata>"
        "</tns:CapabilityAndSecurityInformation>"
    ).encode()
