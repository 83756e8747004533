"""15 The archive: no authority, a kill, and yet everything comes under a time stamp that others can judge."""

import json
import subprocess

from laboratory import KEPGW, compose, evidences, free_base, run
from story import receipts


def test_archive(world, tmp_path):
    here = world.here
    for number in range(4):
        message = compose(world.ali, [world.veli], f"Arşiv {number}", "Yirmi yıl.\n")
        here.send(message, world.ali, [world.veli])
        receipts(here, world.ali, 3, world.judges, message["Message-ID"])
    settings = (here.folder / "kepgw.toml").read_text("utf-8")

    # the authority is gone, the provider is killed over it; then the authority is back
    assert here.stop() == 0
    here.configure(tsa__kind="http", tsa__url=f"http://127.0.0.1:{free_base() + 7}/", tsa__timeout=1.0)
    here.start()
    done = run(*KEPGW, "archive", "now", here.folder, check=False)
    assert (done.returncode, b"HTTP" in done.stderr or b"Connect" in done.stderr) == (1, True), done.stderr
    here.kill()
    heads = tmp_path / "heads"
    heads.mkdir()
    (here.folder / "kepgw.toml").write_text(settings, "utf-8")
    here.configure(ledger__head_folders=[str(heads)])
    here.start()
    here.cli("archive", "now")
    status = here.json("archive", "status")
    assert status["waiting"] == 0
    assert run(*KEPGW, "archive", "verify", here.folder).returncode == 0

    # every evidence, the dispatch and the original leave with a record; the stamp is judged by openssl
    root = here.folder / "keys" / "root.pem"
    with here.imap(world.ali) as reader:
        uids = reader.wait_for("Deliller", 3, "HEADER", "In-Reply-To", message["Message-ID"])
        mails = [reader.fetch(uid) for uid in uids]
        original = tmp_path / "original.eml"
        (uid,) = reader.wait_for("Gönderilmiş", 1, "HEADER", "Message-ID", message["Message-ID"])
        original.write_bytes(reader.fetch(uid))
    for each in here.json("evidence", "list", "--message", message["Message-ID"]):
        ers, files = tmp_path / "x.ers", []
        here.cli("archive", "record", str(each["seq"]), "--out", ers)
        for number, mail in enumerate(mails):
            ((_, xml),) = evidences(mail)
            if each["id"].encode() in xml:
                files = [tmp_path / f"{number}.xml"]
                files[0].write_bytes(xml)
        files += [original] if each["code"] == 10 else []
        done = run(*KEPGW, "archive", "check", ers, *files, "--trust", root)
        assert done.stdout.count(b"ok ") == len(files) > 0
    asn1 = subprocess.run(["openssl", "asn1parse", "-inform", "DER", "-in", ers], capture_output=True, check=True)
    assert b"id-smime-ct-TSTInfo" in asn1.stdout

    # a head is in the folder outside, and the ledger still fits it
    here.cli("ledger", "head", "--fresh", "--out", tmp_path / "h.json")
    size = json.loads(json.loads((tmp_path / "h.json").read_text("utf-8"))["statement"])["size"]
    for _ in range(50):  # each look takes a process
        (sink,) = here.json("archive", "status")["sinks"]
        if sink["size"] == size:
            break
    newest = heads / f"hs90.kep.tr-{size:012}.json"
    assert newest.read_bytes() == (tmp_path / "h.json").read_bytes()
    assert run(*KEPGW, "ledger", "verify", here.folder, "--head", newest).returncode == 0
