import re
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import BaseModel

from kepgw.app.config import FILE, NO_DEFAULT, PROVIDERS_FILE, Config, load, load_providers, missing_files, shipped
from kepgw.app.profiles import profiles_of
from kepgw.errors import ConfigurationError
from kepgw.evidence.codes import DEVELOPMENT_POLICY
from kepgw.evidence.ts102640 import TR_KEP
from kepgw.trust.processkeys import KeyPlace

CONF = Path(__file__).parents[3] / "conf"


@pytest.fixture
def folder(tmp_path):
    for name in (FILE, PROVIDERS_FILE):
        (tmp_path / name).write_text(shipped(name), "utf-8")
    return tmp_path


def change(folder, old, new, name=FILE):
    path = folder / name
    text = path.read_text("utf-8")
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new), "utf-8")


def refused(folder) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(folder)
    return str(caught.value)


def settings_of(model: type[BaseModel], before: str = "") -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        inner = (field.annotation, *getattr(field.annotation, "__args__", ()))
        tables = [each for each in inner if isinstance(each, type(BaseModel))]
        found |= settings_of(tables[0], f"{before}{name}.") if tables else {f"{before}{name}"}
    return found


def settings_in(data: dict, before: str = "") -> set[str]:
    found = set()
    for name, value in data.items():
        tables = value if isinstance(value, list) else [value]
        if any(isinstance(each, dict) and each for each in tables):
            found |= {inner for each in tables for inner in settings_in(each, f"{before}{name}.")}
        else:
            found.add(f"{before}{name}")
    return found


TOKEN, PEER, LIST = "# [keys.process.pkcs11]", "# [[peer]]", "# [[trust_list]]"


def shown(text, *tables):
    """The shipped file with tables that it shows in comments: a key on a token, a peer, a trusted list."""
    for table in tables:
        before, rest = text.split(table)
        lines, behind = rest.split("\n\n", 1)
        text = f"{before}{table[2:]}" + lines.replace("\n# ", "\n") + "\n\n" + behind
    return text


def test_the_folder_conf_is_what_is_shipped():
    for name in (FILE, PROVIDERS_FILE):
        assert (CONF / name).read_text("utf-8") == shipped(name)


def test_the_example_loads(folder):
    config = load(folder)
    assert config.provider.domain == "hs90.kep.tr"
    assert config.hostname == "hs90.kep.tr"
    assert config.listen.ports["relay"] == 2025
    assert config.limits.content_octets == 25 * 1024**2
    assert config.limits.message_octets == 36 * 1024**2
    assert config.relay.window == 86_400
    assert config.directory == folder
    (process,) = config.keys.process
    assert process.place == KeyPlace(
        (folder / "keys/process.pem", folder / "keys/intermediate.pem"), folder / "keys/process.key"
    )
    assert config.trust.anchors == (folder / "keys/root.pem",)
    assert config.store_path == folder / "kepgw.sqlite"
    assert config.store.spool == folder / "spool"


def test_model_and_file_hold_the_same_settings():
    assert settings_in(tomllib.loads(shown(shipped(FILE), TOKEN, PEER, LIST))) == settings_of(Config)


def test_the_trusted_list_of_the_example_loads(folder):
    (folder / FILE).write_text(shown((folder / FILE).read_text("utf-8"), LIST), "utf-8")
    (list_,) = load(folder).trust_list
    assert (list_.place, list_.peers, list_.grace) == ("https://lists.example/tl.xml", ("*",), 604_800)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('source = "http://lists.example/tl.xml"', "not https"),
        ('source = "ftp://lists.example/tl.xml"', "https address, a file or a folder"),
        ('peers = ["hs91"]', "trust_list.0.peers.0"),
        ("signers = []", "trust_list.0.signers"),
        ('name = "Ulusal liste"', "trust_list.0.name"),
    ],
)
def test_a_trusted_list_that_cannot_be_used(folder, line, sentence):
    settings = {"name": '"one"', "source": '"lists"', "signers": '["keys/root.pem"]', "peers": '["*"]'}
    key, _, value = line.partition(" = ")
    settings[key] = value
    table = "".join(f"{name} = {value}\n" for name, value in settings.items())
    (folder / FILE).write_text((folder / FILE).read_text("utf-8") + f"\n[[trust_list]]\n{table}", "utf-8")
    assert sentence in refused(folder)


def test_every_setting_has_a_comment():
    bare = [
        line
        for line in shipped(FILE).splitlines()
        if re.match(r"[a-z_0-9]+ =", line) and not re.search(r"# \S.{10}", line)
    ]
    assert bare == []


def test_numbers_name_their_source():
    tag = re.compile(r"\[(OFF|OFF-q|API|PROV|SEC|INF|ETSI|RFC \d+[^\]]*)\]")
    numbers = [line for line in shipped(FILE).splitlines() if re.match(r"[a-z_0-9]+ = [0-9]", line)]
    assert len(numbers) > 30
    assert [line for line in numbers if not tag.search(line)] == []


def test_the_table_of_providers(folder):
    known = load(folder).known_providers
    assert list(known) == [f"hs{number:02}.kep.tr" for number in range(1, 11)]
    assert {domain: p.ended for domain, p in known.items() if p.state == "ended"} == {
        "hs04.kep.tr": 2023,
        "hs08.kep.tr": 2022,
    }
    assert known["hs03.kep.tr"].name == "TÜRKKEP"


def test_what_is_absent_takes_the_shipped_value(folder):
    wanted = {name.partition(".")[0] for name in NO_DEFAULT}
    tables = re.split(r"(?m)^(?=\[)", (folder / FILE).read_text("utf-8"))
    (folder / FILE).write_text("".join(t for t in tables if re.split(r"[].]", t.strip("["))[0] in wanted), "utf-8")
    assert load(folder).limits.recipients == 500


@pytest.mark.parametrize("setting", [name for name in NO_DEFAULT if "." in name and name != "keys.process"])
def test_what_a_provider_must_say_itself_has_no_default(folder, setting):
    key = setting.partition(".")[2]
    path = folder / FILE
    path.write_text(re.sub(rf"(?m)^{key} = .*\n", "", path.read_text("utf-8"), count=1), "utf-8")
    sentence = refused(folder)
    assert setting in sentence
    assert str(path) in sentence


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("[[keys.process]]", "[other]", ["keys.process missing"]),
        ('certificates = ["keys/process.pem", "keys/intermediate.pem"]', "", ["keys.process.0.certificates"]),
        ('key = "keys/process.key"', "", ["keys.process.0", "give key or the table pkcs11"]),
        ('algorithm = "auto" #', 'algorithm = "rsa-sha1" #', ["keys.process.0.algorithm"]),
    ],
)
def test_process_keys_are_told_whole(folder, old, new, parts):
    change(folder, old, new)
    sentence = refused(folder)
    assert all(part in sentence for part in parts), sentence


def test_several_process_keys(folder):
    second = '[[keys.process]]\ncertificates = ["new.pem"]\nkey = "new.key"\nalgorithm = "rsa-pss-sha512"\n\n'
    third = '[[keys.process]]\ncertificates = ["other.pem"]\nkey = "other.key"\n\n'
    change(folder, "[trust]", second + third + "[trust]")
    _, second, third = load(folder).keys.process
    assert second.place == KeyPlace((folder / "new.pem",), folder / "new.key", "rsa-pss-sha512")
    assert third.algorithm == "auto"
    assert any("keys.process.1.key" in finding for finding in missing_files(load(folder)))


def test_a_key_on_a_token(folder):
    path = folder / FILE
    path.write_text(shown(path.read_text("utf-8"), TOKEN), "utf-8")
    change(folder, '\npin_env = "KEPGW_PIN"', "\n")
    assert "give key or the table pkcs11" in refused(folder)
    change(folder, '\nkey = "keys/process.key" #', "\n#")
    config = load(folder)
    place = config.keys.process[0].place.where
    assert (place.token, place.label, place.identifier, place.workers) == ("kepgw", "process", b"\x01", 1)
    assert place.pin_file == folder / "keys/process.pin"
    assert any("pkcs11.pin_file" in finding for finding in missing_files(config))
    change(folder, '\nlabel = "process" #', "\n#")
    assert load(folder).keys.process[0].place.where.label is None
    change(folder, '\nid = "01"', '\nid = "0"')
    assert "keys.process.0.pkcs11.id" in refused(folder)
    change(folder, '\nid = "0" #', "\n#")
    assert "label or its id" in refused(folder)
    change(folder, '\npin_file = "keys/process.pin" #', '\nlabel = "x" #')
    assert "pin_file or from pin_env" in refused(folder)


def test_several_authorities_keep_their_order(folder):
    change(folder, "[limits]", '[[tsa]]\nkind = "http"\nurl = "https://tsa.example/"\n\n[limits]')
    config = load(folder)
    assert [tsa.kind for tsa in config.tsa] == ["development", "http"]
    assert config.tsa[1].timeout == 10


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        ('url = "http://kep:gizli@tsa.example/"', ["password", "password_file"]),
        ('url = "https://tsa.example/"\nuser = "kep"', ["user and password_file belong together"]),
        ('url = "https://tsa.example/"\nuser = "k"\npassword_file = "p"\ntoken_file = "t"', ["exclude each other"]),
        ('url = "https://tsa.example/"\nclient_key = "k"', ["belong together"]),
        ('url = "http://tsa.example/"\nclient_key = "k"\nclient_certificate = "c"', ["https"]),
        ('url = "https://tsa.example/"\npolicy = "KamuSM"', ["tsa.1.policy"]),
        ('url = "https://tsa.example/"\npolicy = "1.2.03"', ["tsa.1.policy"]),
        ('url = "https://tsa.example/"\naccuracy = -1.0', ["tsa.1.accuracy"]),
        ('url = "https://tsa.example/"\n[[tsa]]\nkind = "http"\nurl = "https://tsa.example/"', ["stands twice"]),
    ],
)
def test_mistakes_about_an_authority(folder, lines, parts):
    change(folder, "[limits]", f'[[tsa]]\nkind = "http"\n{lines}\n\n[limits]')
    sentence = refused(folder)
    assert all(part in sentence for part in parts), sentence


def test_an_authority_with_an_account(folder):
    lines = 'url = "https://tsa.example/"\nuser = "kep"\npassword_file = "keys/tsa.password"\npolicy = "2.16.792.1.2.1"'
    change(folder, "[limits]", f'[[tsa]]\nkind = "http"\n{lines}\n\n[limits]')
    tsa = load(folder).tsa[1]
    assert tsa.files == {"password_file": folder / "keys" / "tsa.password"}
    assert tsa.secrets == (folder / "keys" / "tsa.password",)
    assert any("tsa.1.password_file" in each for each in missing_files(load(folder)))


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("recipients = 500", "recipientz = 500", ["limits.recipientz", "not a setting"]),
        ("recipients = 500", "recipients = 0", ["limits.recipients", "not 0"]),
        ("recipients = 500", 'recipients = "many"', ["limits.recipients", "integer"]),
        ("recipients = 500", "recipients = true", ["limits.recipients"]),
        ("idle_timeout = 1860", "idle_timeout = 1799", ["limits.idle_timeout", "1800", "not 1799"]),
        ("window = 86_400 # seconds from evidence 10", "window = -1 #", ["relay.window"]),
        ('domain = "hs90.kep.tr"', 'domain = "example.com"', ["provider.domain", "hsNN.kep.tr"]),
        ('domain = "hs90.kep.tr"', 'domain = "kurum.hs90.kep.tr"', ["provider.domain"]),
        ('service_address = "kep@hs90.kep.tr"', 'service_address = "kep@hs91.kep.tr"', ["service_address"]),
        ('service_address = "kep@hs90.kep.tr"', 'service_address = "kep"', ["service_address"]),
        ('name = "hs90"', 'name = "a\\nb"', ["provider.name"]),
        ("relay = 2025", "relay = 2587", ["same port"]),
        ("relay = 2025", "relay = 70000", ["listen.relay"]),
        ('kind = "development"', 'kind = "http"', ["tsa.0", "url"]),
        ('kind = "development"', 'kind = "magic"', ["tsa.0.kind"]),
        ('url = "sqlite:///kepgw.sqlite"', 'url = "mysql://x"', ["store.url"]),
        ('etebligat = "refuse"', 'etebligat = "maybe"', ["policy.etebligat", "refuse"]),
        ("retry_max = 1800", "retry_max = 1", ["relay.retry_max"]),
        ("retry_max = 300", "retry_max = 1", ["stamping.retry_max"]),
        ('digest = "sha256"', 'digest = "sha1"', ["stamping.digest"]),
        ('clients = ["127.0.0.0/8"', 'clients = ["everywhere"', ["metrics.clients"]),
        ("[signing]", "[signin]", ["signin", "not a setting"]),
        ("[log]", "[log", ["not valid TOML"]),
    ],
)
def test_a_mistake_is_named_with_its_file(folder, old, new, parts):
    change(folder, old, new)
    sentence = refused(folder)
    assert str(folder / FILE) in sentence
    assert all(part in sentence for part in parts), sentence


def test_all_mistakes_are_told_at_once(folder):
    change(folder, "recipients = 500", "recipients = 0")
    change(folder, 'format = "text"', 'format = "xml"')
    assert len(refused(folder).splitlines()) == 2


def test_development_authority_needs_development(folder):
    change(folder, "development = true", "development = false")
    assert "authority" in refused(folder)


def test_policies_are_needed_outside_development(folder):
    change(folder, "development = true", "development = false")
    change(folder, 'kind = "development" # no', 'kind = "http" # no')
    change(folder, 'url = "" #', 'url = "http://tsa.example/" #')
    assert "evidence.policies" in refused(folder)
    change(folder, "policies = []", 'policies = ["https://kep.example/kepue"]')
    assert load(folder).evidence.policies == ("https://kep.example/kepue",)


def test_evidence_is_spelled_as_decided(folder):
    assert load(folder).spelling == TR_KEP
    change(folder, 'retrieval_expiration = "NonRetrievalExpiration"', 'retrieval_expiration = "RetrievalExpiration"')
    assert load(folder).spelling.retrieval_expiration == "RetrievalExpiration"


def test_development_is_always_among_the_policies(folder):
    change(folder, "policies = []", 'policies = ["https://kep.example/kepue"]')
    assert load(folder).policies == (DEVELOPMENT_POLICY, "https://kep.example/kepue")


def test_no_folder_and_no_file(tmp_path):
    assert "kepgw init" in refused(tmp_path / "none")
    assert "kepgw init" in refused(tmp_path)


def test_not_text_and_too_much(folder):
    (folder / FILE).write_bytes(b"\xff\xfe")
    assert "not valid TOML" in refused(folder)
    (folder / FILE).write_bytes(b"#" * (1024 * 1024 + 1))
    assert "larger" in refused(folder)


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("ended = 2023", "", "ended"),
        ('domain = "hs02.kep.tr"', 'domain = "hs01.kep.tr"', "twice"),
        ('domain = "hs02.kep.tr"', 'domain = "x"', "provider.1.domain"),
        ('name = "PTT"', 'nam = "PTT"', "provider.0.nam"),
    ],
)
def test_a_mistake_in_the_table_of_providers(folder, old, new, part):
    change(folder, old, new, PROVIDERS_FILE)
    with pytest.raises(ConfigurationError, match=part):
        load_providers(folder / PROVIDERS_FILE)
    assert str(folder / PROVIDERS_FILE) in refused(folder)


def test_nothing_changes_after_loading(folder):
    config = load(folder)
    with pytest.raises(ValueError, match="frozen"):
        config.limits.recipients = 1


def test_missing_files_are_named_with_their_setting(folder):
    findings = missing_files(load(folder))
    assert any("keys.process.0.key" in f and str(folder / "keys/process.key") in f for f in findings)
    assert any("trust.anchors" in f for f in findings)


def test_settings_of_a_peer(folder):
    text = shown((folder / FILE).read_text("utf-8"), PEER)
    (folder / FILE).write_text(text, "utf-8")
    config = load(folder)
    (peer,) = config.peer
    assert (peer.domain, peer.host, peer.tls_certificate) == ("hs91.kep.tr", "192.0.2.25", folder / "hs91-relay.pem")
    spelling, type_header = config.spelling_of(peer)
    assert (spelling.version, type_header, config.spelling.version) == ("1", "code", "2")
    profiles = profiles_of(config)
    assert profiles["tr-kep@hs91.kep.tr"] is not profiles["tr-kep"]
    assert profiles["tr-kep@hs92.kep.tr"] is profiles["tr-kep"]
    here, there = (SimpleNamespace(domain=domain, profiles=("tr-kep",)) for domain in ("hs91.kep.tr", "hs92.kep.tr"))
    assert (profiles.toward(here), profiles.shown(here)) == ("rem-baseline", "rem-baseline")  # as the table has it
    spelled = replace(profiles, chosen={})
    assert (spelled.toward(here), spelled.shown(here)) == ("tr-kep@hs91.kep.tr", "tr-kep")
    assert spelled.toward(there) == "tr-kep"
    assert any("hs91-relay.pem" in finding for finding in missing_files(config))


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ('domain = "kep.tr"', "peer.0.domain"),
        ('domain = "hs91.kep.tr"\nport = 25', "name it too"),
        ('domain = "hs91.kep.tr"\nhost = "a b"', "peer.0.host"),
        ('domain = "hs91.kep.tr"\nwindows = 5', "is not a setting"),
        ('domain = "hs91.kep.tr"\n[[peer]]\ndomain = "hs91.kep.tr"', "stands twice"),
    ],
)
def test_peers_that_cannot_be(folder, table, says):
    path = folder / FILE
    path.write_text(f"{path.read_text('utf-8')}\n[[peer]]\n{table}\n", "utf-8")
    assert says in refused(folder)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("client_certificates = []", 'client_certificates = ["c.pem"]', "belong together"),
        ('client_key = "" # PEM key of', 'client_key = "c.key" # PEM key of', "belong together"),
        ("nameservers = []", 'nameservers = ["ns.kep.tr"]', "relay.nameservers.0"),
        ("relay_supply_points = []", 'relay_supply_points = ["mx"]', "empty relay_host"),
        ("relay_supply_points = []", 'relay_supply_points = ["a b"]', "no service supply point"),
        ('relay_host = "127.0.0.1"', 'relay_host = ""\nrelay_authorities = ["ca.pem"]', "relay_authorities"),
    ],
)
def test_ways_that_cannot_be(folder, old, new, says):
    if "relay_authorities" in new:
        change(folder, "relay_authorities = []", "# none")
    change(folder, old, new)
    assert says in refused(folder)
