"""17 A revoked certificate signs nothing: not from the moment on that a list says so, and nothing is lost by it."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from authorities import Responder, Site
from cryptography import x509
from laboratory import KEPGW, Node, compose, run
from story import ACCEPTED, DELIVERED, RELAYED, receipts

from kepgw.trust import devpki

HOLD = x509.ReasonFlags.certificate_hold


def process_certificate(node):
    return x509.load_pem_x509_certificate((node.folder / "keys" / "process.pem").read_bytes())


def own_status(node, command="refresh"):
    listed = node.json("trust", command)
    return {each["subject"].split(" ")[0]: each["status"] for each in listed if each["own"]}


def second_key(node, *more, alone=False):
    """Another process certificate of the same authority, made by openssl, beside the first in the settings or alone."""
    keys = node.folder / "keys"
    request = keys / "second.csr"
    extensions = keys / "second.cnf"
    extensions.write_text(
        f"keyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection\nsubjectAltName=email:kep@{node.domain}\n"
        + "".join(f"{line}\n" for line in more)
    )
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", keys / "second.key", "-out", request, "-subj", f"/CN=Second {node.domain}")  # fmt: skip
    run("openssl", "x509", "-req", "-in", request, "-CA", keys / "intermediate.pem",
        "-CAkey", keys / "intermediate.key", "-extfile", extensions, "-days", "100",
        "-out", keys / "second.pem")  # fmt: skip
    (keys / "second.key").chmod(0o600)
    settings = node.folder / "kepgw.toml"
    text = settings.read_text("utf-8")
    table = (
        '[[keys.process]]\ncertificates = ["keys/second.pem", "keys/intermediate.pem"]\nkey = "keys/second.key"\n'
        'algorithm = "auto"\n\n'
    )
    first = text.index("[[keys.process]]")
    rest = text[text.index("\n\n", first) + 2 :] if alone else text[first:]
    settings.write_text(text[:first] + table + rest, "utf-8")


def test_a_hold_and_its_end(world):
    """A list appears in the folder: nothing is signed until another lifts the hold, and both ways nothing is lost."""
    here, there = world.here, world.there
    assert own_status(here, "list") == {"CN=Process": "good", "CN=Intermediate": "good"}
    now = datetime.now(UTC)
    devpki.revoke(here.folder, process_certificate(here), now - timedelta(seconds=10), HOLD)
    assert own_status(here)["CN=Process"] == "revoked"
    assert "signing-certificate-revoked" in here.log()
    with here.smtp(world.ali) as client:
        code, text = client.mail(world.ali)
        assert (code, text[:5]) == (451, b"4.3.5")
    there.send(
        compose(world.veli, [world.ali], "Bekler", "Ali'nin sağlayıcısı imzalayamıyor.\n"), world.veli, [world.ali]
    )
    assert receipts(there, world.veli, 1, world.judges) == {ACCEPTED: 1}
    devpki.revoke(here.folder, process_certificate(here), now, restore=True)
    assert own_status(here)["CN=Process"] == "good"
    here.send(compose(world.ali, [world.veli], "Yine", "İmzalanır.\n"), world.ali, [world.veli])
    there.cli("queue", "retry")
    for node, owner in ((here, world.ali), (there, world.veli)):
        assert receipts(node, owner, 3, world.judges) == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}


def test_revoked_at_the_start_and_a_second_key(make_world):
    """What was accepted before waits; it leaves when a second key is there. The provider was never asked twice."""
    world = make_world()
    here, there = world.here, world.there
    here.configure(tsa__kind="http", tsa__url="http://127.0.0.1:1/")  # nobody stamps, so that the message waits
    world.start()
    message = compose(world.ali, [world.veli], "Sabır", "Kabul edildi, imza bekliyor.\n")
    here.send(message, world.ali, [world.veli])
    here.stop()
    here.configure(tsa__kind="development", tsa__url="")
    devpki.revoke(here.folder, process_certificate(here), datetime.now(UTC) - timedelta(seconds=10))
    here.start()
    here.cli("queue", "retry")
    while not [task for task in here.json("queue", "list") if "revoked" in task["last_error"]]:
        pass
    with here.imap(world.ali) as reader:
        assert reader.select("Deliller") == 0
    doctor = run(*KEPGW, "doctor", here.folder, check=False)
    assert doctor.returncode == 1
    assert b"revoked" in doctor.stdout
    here.stop()
    second_key(here)
    there.peer_with(here)
    here.start()
    assert own_status(here, "list") == {"CN=Second": "good", "CN=Process": "revoked", "CN=Intermediate": "good"}
    assert receipts(here, world.ali, 3, world.judges) == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}


def test_an_authority_on_the_network(tmp_path):
    """openssl answers for the authority: good, then revoked; what it said is kept as proof of its time."""
    node, site = Node(tmp_path / "hs90", "hs90.kep.tr").init(), Site()
    ali, veli = node.account("ali"), node.account("veli")
    second_key(node, f"authorityInfoAccess=OCSP;URI:{site.url('/ocsp')}", alone=True)
    node.configure(material__fetch_private=True)
    (node.folder / "revocation" / "intermediate.crl").unlink()
    keys = node.folder / "keys"
    (keys / "intermediate.key").rename(tmp_path / "intermediate.key")  # else serve makes a new list
    responders = []

    def responder(state):
        folder = tmp_path / state
        folder.mkdir()
        pem = (keys / "intermediate.pem").read_bytes(), (tmp_path / "intermediate.key").read_bytes()
        found = Responder(folder, SimpleNamespace(pem=lambda: pem[0], key_pem=lambda: pem[1]))
        found.knows(x509.load_pem_x509_certificate((keys / "second.pem").read_bytes()), state, "keyCompromise")
        responders.append(found)
        site.hand_on("/ocsp", found.start())

    try:
        responder("V")
        node.start()
        assert own_status(node) == {"CN=Second": "good", "CN=Intermediate": "good"}
        node.send(compose(ali, [veli], "İyi", "İmzalanır.\n"), ali, [veli])
        with node.imap(veli) as reader:
            reader.wait_for("INBOX", 1)
        responder("R")
        assert own_status(node)["CN=Second"] == "revoked"
        with node.smtp(ali) as client:
            assert client.mail(ali)[0] == 451
        assert {path for _, path, _ in site.asked} == {"/ocsp"}
    finally:
        node.stop()
        site.stop()
        for each in responders:
            each.stop()


def test_a_peer_whose_certificate_was_revoked(world):
    """From then on its messages are refused for good, and its sender is told."""
    here, there = world.here, world.there
    there.send(compose(world.veli, [world.ali], "Önce", "İptalden önce.\n"), world.veli, [world.ali])
    assert receipts(there, world.veli, 3, world.judges) == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}
    devpki.revoke(there.folder, process_certificate(there), datetime.now(UTC))
    octets = (there.folder / "revocation" / "intermediate.crl").read_bytes()
    (here.folder / "revocation" / "hs91.crl").write_bytes(octets)
    here.cli("trust", "refresh")
    message = compose(world.veli, [world.ali], "Sonra", "İptalden sonra.\n")
    there.send(message, world.veli, [world.ali])
    with there.imap(world.veli) as reader:
        reader.wait_for("Deliller", 2, "HEADER", "In-Reply-To", message["Message-ID"])
    with here.imap(world.ali) as reader:
        assert reader.select("INBOX") == 1
