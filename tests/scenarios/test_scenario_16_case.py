"""16 The case of a message: everything that a court needs, checked by programs that are not ours."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from laboratory import KEPGW, compose, run
from story import ACCEPTED, DELIVERED, READ, RELAYED, receipts


@pytest.fixture(scope="module")
def story(module_world, tmp_path_factory):
    """A message with attachments to both providers, one unknown, one blind; cases from both ends."""
    world, folder = module_world, tmp_path_factory.mktemp("case")
    mehmet = world.here.account("mehmet", "Mehmet İnce")
    gizli = world.there.account("gizli", "Gizli Alıcı")
    unknown = f"yok@{world.there.domain}"
    files = [("İhbarname ŞĞ.pdf", bytes(range(256)) * 300), ("ek.bin", b"\0" * 9000)]
    message = compose(world.ali, [world.veli, mehmet, unknown], "Fesih ihbarı: İŞĞÜÇÖ", "Gereği.\n", attachments=files)
    world.here.send(message, world.ali, [world.veli, mehmet, unknown, gizli])
    with world.there.imap(world.veli) as reader:
        (uid,) = reader.wait_for("INBOX", 1)
        reader.fetch(uid, peek=False)
    about = message["Message-ID"]
    found = receipts(world.here, world.ali, 9, world.judges, about)
    assert (found[ACCEPTED], found[DELIVERED], found[READ]) == (2, 3, 1)
    assert found[RELAYED] == 2
    (arrived,) = [each for each in world.there.json("message", "list") if sum(each["recipients"].values()) == 3]
    for node, name, named in ((world.here, "out", about), (world.there, "in", arrived["number"])):
        node.cli("evidence", "export", "--message", named, "--zip", folder / f"{name}.zip")
        with zipfile.ZipFile(folder / f"{name}.zip") as archive:
            archive.extractall(folder / name)
    roots = [node.folder / "keys" / "root.pem" for node in (world.here, world.there)]
    (folder / "root.pem").write_text("".join(each.read_text() for each in roots))
    return folder, message.as_bytes(policy=message.policy.clone(linesep="\r\n"))


def commands(readme):
    """The commands of README.txt, as somebody would copy them."""
    blocks = re.findall(r"^~~~~\n(.*?)^~~~~\n", readme, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 10
    return [each for each in blocks if not each.startswith("kepgw ")]


@pytest.mark.parametrize("end", ["out", "in"])
def test_the_commands_of_the_readme_work(story, end, tmp_path):
    source, _ = story
    folder = shutil.copytree(source / end, tmp_path / end)
    shutil.copy(source / "root.pem", folder)
    evidence = len(list((folder / "evidence").glob("*.xml")))
    dispatches = len(list((folder / "dispatch").glob("*.eml")))
    shell = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # a python3 that has lxml
    said = ""
    for command in commands((folder / "README.txt").read_text("utf-8")):
        done = subprocess.run(
            ["bash", "-e", "-c", command], cwd=folder, env=shell, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, command + done.stdout + done.stderr
        said += done.stdout + done.stderr
    assert "ALTERED" not in said
    assert "BAD" not in said
    assert said.count("SignedInfo References (ok/all): 2/2") == evidence
    assert said.count("Verification: OK") == evidence + 1, "each evidence's stamp, and the tree head's"
    assert said.count("CAdES Verification successful") == dispatches + 1
    assert len(re.findall(r"^ok +evidence/.*\.xml$", said, re.MULTILINE)) == evidence * 2
    assert "Signature is Valid." in said


@pytest.mark.parametrize("end", ["out", "in"])
def test_the_original_is_there_byte_for_byte(story, end):
    folder, octets = story
    assert (folder / end / "original" / "original.eml").read_bytes() == octets
    for dispatch in (folder / end / "dispatch").glob("*.eml"):
        assert octets in dispatch.read_bytes()


@pytest.mark.parametrize("end", ["out", "in"])
def test_the_report_tells_the_story(story, end):
    folder, _ = story
    page = subprocess.run(
        ["pdftotext", folder / end / "report" / "report.pdf", "-"], capture_output=True, check=True, text=True
    ).stdout
    html = (folder / end / "report" / "report.html").read_text("utf-8")
    for said in (page, html):
        assert "Fesih ihbarı: İŞĞÜÇÖ" in said
        assert "İhbarname ŞĞ.pdf" in said
        assert "Yapılan denetimlerin hiçbirinde hata bulunmadı" in said
        assert "GELİŞTİRME – HUKUKİ DEĞERİ YOKTUR" in said
        assert "veli@hs91.kep.tr" in said
        assert "Okundu" in said
        assert ("gizli@hs91.kep.tr" in said) is (end == "out"), "nobody else sees a blind recipient"
    manifest = json.loads((folder / end / "case.json").read_text("utf-8"))
    assert manifest["development"] is True
    assert manifest["short_id"] in page


def test_revocation_lists_of_every_signer_are_there(story):
    folder, _ = story
    kinds = {each["kind"] for each in json.loads((folder / "out" / "case.json").read_text("utf-8"))["files"]}
    assert kinds == {
        "original",
        "dispatch",
        "receipt",
        "evidence",
        "text",
        "report",
        "proof",
        "head",
        "certificate",
        "crl",
    }


@pytest.mark.parametrize("end", ["out", "in"])
def test_kepgw_verify_says_what_is_proved(story, end):
    folder, _ = story
    done = run(*KEPGW, "verify", folder / f"{end}.zip", "--trust", folder / "root.pem", "--json")
    (result,) = json.loads(done.stdout)["results"]
    assert result["status"] == "good"
    states = {each["recipient"].partition("@")[0]: each["state"] for each in result["case"]["recipients"]}
    own = {"out": {"mehmet": "delivered", "gizli": "delivered"}, "in": {"mehmet": "accepted"}}
    assert states == {"veli": "read", "yok": "refused", **own[end]}
    assert all(each["trusted"] for each in result["case"]["recipients"])
    # an incoming case knows of those at the other provider only that they were accepted
    missing = {each["recipient"].partition("@")[0]: each["missing"] for each in result["case"]["recipients"]}
    assert missing == {name: [40] if state == "accepted" else [] for name, state in states.items()}
    checks = list(leaves(result["tree"]))
    for name in ("digest", "inclusion", "record", "head-signer", "original", "manifest"):
        assert {each["verdict"] for each in checks if each["name"] == name} <= {"ok"}, name
    # the lists of the own authorities travel along; those of the other provider nobody has published
    domain = {"out": "hs90", "in": "hs91"}[end]
    lists = [each for each in checks if each["name"].endswith("revocation") and domain in each["facts"]["name"]]
    assert lists
    assert {each["verdict"] for each in lists} == {"ok"}


def test_kepgw_verify_in_turkish_and_with_nobody_to_trust(story):
    folder, _ = story
    case, roots = folder / "out.zip", folder / "root.pem"
    told = re.sub(r"[\s│├└─]+", " ", run(*KEPGW, "verify", case, "--trust", roots, "--lang", "tr").stdout.decode())
    assert "posta kutusuna teslim edildi. Okunduğu kanıtlanmıyor." in told
    assert "Kanıtlanan: alıcı iletiyi" in told
    assert run(*KEPGW, "verify", case, check=False).returncode == 3


def leaves(node):
    for each in node["checks"]:
        if each["kind"] == "check":
            yield each
        else:
            yield from leaves(each)


def verified(path, *roots):
    """Status, and every branch and check of the tree, of ``kepgw verify --json``."""
    trust = [word for root in roots for word in ("--trust", root)]
    done = run(*KEPGW, "verify", path, *trust, "--json", check=False)
    (result,) = json.loads(done.stdout)["results"]
    return done.returncode, result


def branches(node):
    yield node
    for each in node.get("checks", []):
        yield from branches(each)


@pytest.mark.parametrize("end", ["out", "in"])
def test_kepgw_verify_passes_it_totally(story, end):
    folder, _ = story
    status, result = verified(folder / f"{end}.zip", folder / "root.pem")
    assert status == 0, result
    signatures = [each["indication"] for each in branches(result["tree"]) if each["kind"].startswith("signature-of")]
    assert len(signatures) > 2 * len(list((folder / end / "evidence").glob("*.xml")))
    assert set(signatures) == {"TOTAL-PASSED"}
    status, result = verified(folder / f"{end}.zip")
    assert "TOTAL-PASSED" not in json.dumps(result["tree"]), "nobody is trusted"


def test_one_altered_octet_anywhere_is_found(story, tmp_path):
    folder, _ = story
    with zipfile.ZipFile(folder / "out.zip") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    kinds = {each["kind"]: each["path"] for each in json.loads(files["case.json"])["files"]}
    spoilt = tmp_path / "spoilt.zip"
    for path in {*kinds.values(), "README.txt", "ledger/head.json", "report/report.html"}:
        octets = bytearray(files[path])
        octets[len(octets) * 2 // 3] ^= 1
        with zipfile.ZipFile(spoilt, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, bytes(octets) if name == path else content)
        status, result = verified(spoilt, folder / "root.pem")
        assert status != 0, path
        assert path in json.dumps(result), f"{path} is named"
