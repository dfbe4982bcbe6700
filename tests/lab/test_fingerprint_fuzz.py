"""Whatever somebody seals or leaves lying about, verification ends in verdicts, in bounded time and memory.

FUZZ=5000 pytest tests/lab/test_fingerprint_fuzz.py        the full number of examples
"""

import base64
import hmac
import json
import lzma
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.fingerprint import Verdict, envelope, events, log, manifest, results, strict
from shared.fingerprint.keys import DEMO_KEY, TeamKey
from shared.fingerprint.verdicts import BrokenError, Finding
from shared.fingerprint.verify import verify_all
from shared.lab.fingerprint.attacks.edits import body_of
from shared.lab.fingerprint.attacks.scene import KEY, Scene, build

DEMO = TeamKey("quipu", DEMO_KEY)
EXAMPLES = int(os.environ.get("FUZZ", "40"))
ODD = [2**63, -1, 10**400, 1e308, "", "..", "../x", "\ud800", "a/b", "\0", "0f" * 8, [[]], {"": {}}, True]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.sampled_from(ODD) | st.recursive(
    SCALARS, lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each, max_size=3)
)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return build(tmp_path_factory.mktemp("fuzz") / "clean")


def places(value, path=()):
    """Path of every node of a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


def changed(data, body):
    """A copy of a body in which a node or two hold something else, or nothing."""
    body = json.loads(json.dumps(body))
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(list(places(body))))
        if not path:
            return data.draw(VALUES)
        inner = body
        for key in path[:-1]:
            inner = inner[key]
        if isinstance(inner, dict) and data.draw(st.booleans()):
            del inner[path[-1]]
        else:
            inner[path[-1]] = data.draw(VALUES)
    return body


def spelled(value):
    """JSON as a signer may write it, halves of surrogate pairs included."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sealed(kind, body):
    """An envelope around any body, with a MAC that holds: everybody has the demo key."""
    body = {**body, "team": DEMO.team, "epoch": 1} if isinstance(body, dict) and len(body) % 3 else body
    payload, declared = spelled(body), envelope.payload_type(kind)
    mac = hmac.digest(DEMO.subkey(kind), envelope.pre_authentication_encoding(declared, payload), "sha256")
    return envelope._spell(declared, payload, DEMO.id, mac)


def chained(run, records):
    """A log of any records, with MACs that hold."""
    chain, lines = log.Chain(DEMO, run), []
    for record in records:
        body = spelled(record)[:-1]
        lines.append(body + log.SEAL + chain.next(body) + b'"}\n')
    return b"".join(lines)


def judged(scene):
    """Findings of everything in the scene, each of which can be shown."""
    findings = verify_all([scene.root / "runs", scene.root / "projects"], KEY, recompute=True)
    for each in findings:
        f"{each.path} {each.detail}".encode("utf-8", "backslashreplace")
    return findings


def are_verdicts(findings):
    return findings and all(isinstance(each, Finding) and isinstance(each.verdict, Verdict) for each in findings)


fuzzed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@fuzzed
@given(data=st.data())
def test_whatever_a_demo_key_seals_ends_in_verdicts(clean, data):
    kind, path = data.draw(
        st.sampled_from(
            [
                (manifest.KIND, clean.checkpoint / "manifest.json"),
                (events.KIND, clean.run / "events.seal.json"),
                (results.KIND, clean.results / "runs.csv.seal.json"),
                (results.KIND, clean.results / "summary.csv.seal.json"),
            ]
        )
    )
    before = path.read_bytes()
    body = json.loads(base64.b64decode(json.loads(before)["payload"]))
    try:
        path.write_bytes(sealed(kind, changed(data, body)))
        assert are_verdicts(judged(clean))
    finally:
        path.write_bytes(before)


@fuzzed
@given(data=st.data())
def test_whatever_a_demo_key_logs_ends_in_verdicts(clean, data):
    before = clean.log.read_bytes()
    records = [{k: v for k, v in json.loads(line).items() if k != "mac"} for line in before.splitlines()]
    records[0] |= {"key": DEMO.id, "team": DEMO.team}
    drawn = changed(data, records)
    drawn = [each for each in drawn if isinstance(each, dict) and each] if isinstance(drawn, list) else []
    try:
        clean.log.write_bytes(chained("0f" * 8, drawn))
        assert are_verdicts(judged(clean))
    finally:
        clean.log.write_bytes(before)


@fuzzed
@given(raw=st.binary(max_size=300), place=st.integers(0, 40))
def test_whatever_bytes_stand_in_the_place_of_a_file_end_in_verdicts(clean, raw, place):
    files = sorted(p for top in ("runs", "projects") for p in (clean.root / top).rglob("*") if p.is_file())
    path = files[place % len(files)]
    before = path.read_bytes()
    try:
        path.write_bytes(raw)
        assert are_verdicts(judged(clean))
    finally:
        path.write_bytes(before)


def fifo(path):
    os.mkfifo(path)


def endless(path):
    path.symlink_to("/dev/zero")


def folder(path):
    path.mkdir()


def plug(path):
    """A socket; its name may be longer than a socket's may be, so it is bound in its own folder."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(before)


@pytest.mark.parametrize("make", [fifo, endless, folder, plug])
def test_what_is_no_file_under_the_name_of_one_is_found_at_once(clean, tmp_path, make):
    kinds = ["metrics.jsonl", "config.json", "events.out.tfevents.1", "events.seal.json", "manifest.json"]
    kinds += ["model.safetensors", "runs.csv", "runs.csv.seal.json", f"{'0f' * 8}.jsonl.xz"]
    for number, name in enumerate(kinds):
        shutil.copytree(clean.root, tmp_path / str(number))
        scene = Scene(tmp_path / str(number))
        path = next(p for top in ("runs/lora/main", "projects") for p in (scene.root / top).rglob(name))
        path.unlink()
        make(path)
        accused = {f.path for f in judged(scene) if f.verdict.grave}
        assert path in accused or any(path.name in f.name for f in accused), (name, accused)


def test_a_small_file_that_unfolds_to_gigabytes_takes_neither_the_time_nor_the_memory_for_it(clean, tmp_path):
    bomb = tmp_path / "bomb.jsonl.xz"
    packer = lzma.LZMACompressor(preset=0)
    with bomb.open("wb") as file:
        for _ in range(64):
            file.write(packer.compress(bytes(2**20)))
        file.write(packer.flush())
    assert bomb.stat().st_size < 200_000
    code = (
        "import sys; from pathlib import Path; from shared.fingerprint.log import verify_log\n"
        "from shared.fingerprint.keys import TeamKey, DEMO_KEY\n"
        "print(verify_log(Path(sys.argv[1]), TeamKey('quipu', DEMO_KEY)).detail)\n"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"  # kB, of this program alone
    )
    done = subprocess.run([sys.executable, "-c", code, bomb], capture_output=True, text=True, check=True, timeout=60)
    said, peak = done.stdout.splitlines()
    assert "unfolds to more than" in said
    assert int(peak) * 1024 < 2 * log.LARGEST + 150 * 2**20


def test_a_stream_behind_the_stream_and_a_decompressor_that_wants_gigabytes_are_refused(tmp_path):
    raw = lzma.compress(b"{}\n")
    hungry = lzma.compress(b"{}\n", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 2**30}])
    for number, (content, reason) in enumerate(
        ((raw + raw, "one whole"), (raw[:-4], "one whole"), (hungry, "ecompress"))
    ):
        path = tmp_path / f"{number}.jsonl.xz"
        path.write_bytes(content)
        assert reason in log.verify_log(path, KEY).detail


def test_many_files_that_no_manifest_lists_are_named_in_time_linear_in_their_number(clean, tmp_path, monkeypatch):
    shutil.copytree(clean.root, tmp_path / "scene")
    scene, folded = Scene(tmp_path / "scene"), []
    known = strict.fold
    monkeypatch.setattr(strict, "fold", lambda name: folded.append(name) or known(name))
    for number in range(200):
        (scene.checkpoint / f"extra-{number}").touch()
    findings, _ = manifest.inspect(scene.checkpoint, KEY)
    assert sum(f.verdict is Verdict.EXTRA for f in findings) == 200
    assert len(folded) < 200 + 50


def test_a_table_cannot_cite_more_lines_than_can_be_read(clean, tmp_path, monkeypatch):
    shutil.copytree(clean.root, tmp_path / "scene")
    monkeypatch.setattr(results, "MOST", 3)
    findings = verify_all([tmp_path / "scene" / "projects"], KEY, recompute=True, runs=[tmp_path / "scene" / "runs"])
    assert ["lines of logs are cited" in f.detail for f in findings if f.path.name == "runs.csv"] == [True]


def test_what_can_be_sealed_verifies_and_what_is_a_users_own_stays(tmp_path):
    one = tmp_path / "one"
    (one / "empty" / "within").mkdir(parents=True)
    for name in ("👩\u200d🔬.txt", "می\u200cخواهم.txt"):
        (one / name).write_text("")
    header = {"a": {"dtype": "F4", "shape": [3, 2], "data_offsets": [0, 3]}}
    header["b"] = {"dtype": "F8_E4M3FNUZ", "shape": [2], "data_offsets": [3, 5]}
    header["c"] = {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [5, 8]}
    text = spelled(header)
    (one / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    manifest.seal_directory(one, {"run": "r", "step": 0}, KEY)
    assert [f.verdict for f in manifest.verify_directory(one, KEY)] == [Verdict.OK]
    assert body_of(one)["folders"] == ["empty/within"]
    (one / "empty" / "within").rmdir()
    assert [(f.verdict, f.path.name) for f in manifest.verify_directory(one, KEY)] == [(Verdict.MISSING, "within")]
    manifest.seal_directory(one, {"run": "r", "step": 1}, KEY)  # our own manifest may be written again
    two = tmp_path / "two"
    two.mkdir()
    (two / "manifest.json").write_text('{"name": "my extension"}')
    (two / "code.js").write_text("")
    with pytest.raises(Exception, match="not overwritten"):
        manifest.seal_directory(two, {"run": "r", "step": 0}, KEY)
    assert (two / "manifest.json").read_text() == '{"name": "my extension"}'


def test_names_that_only_joiners_tell_apart_are_refused_together():
    assert strict.colliding(["model.bin", "mo\u200ddel.bin"])
    assert strict.unsafe_name("mo\u202edel.bin"), "a change of direction is no joiner"


def test_half_a_tensor_of_four_bits_does_not_fit_its_bytes(tmp_path):
    text = spelled({"a": {"dtype": "F4", "shape": [3], "data_offsets": [0, 1]}})
    (tmp_path / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(1))
    with pytest.raises(Exception, match="does not fit"):
        manifest.seal_directory(tmp_path, {"run": "r", "step": 0}, KEY)


def test_a_folder_that_cannot_be_read_is_a_verdict(clean, tmp_path, monkeypatch):
    shutil.copytree(clean.root, tmp_path / "scene")
    scene, scandir = Scene(tmp_path / "scene"), os.scandir

    def closed(path="."):
        if str(path).endswith("shards"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    with monkeypatch.context() as patched:
        patched.setattr(strict.os, "scandir", closed)
        findings = judged(scene)
    assert any("cannot be read" in f.detail and "shards" in str(f.path) for f in findings)


def test_teams_have_one_spelling_and_epochs_that_a_key_id_can_hold():
    assert TeamKey("Quipu", KEY.secret) == TeamKey("quipu", KEY.secret)
    assert KEY.find(KEY.id.replace("quipu", "QUIPU")).team == "quipu"
    for epoch in (0, -1, 10**9):
        with pytest.raises(Exception, match="epoch"):
            TeamKey("quipu", KEY.secret, epoch)


def test_json_with_a_number_beyond_all_numbers_or_half_a_character_is_refused():
    for raw in (b"[1e400]", b"[-1e400]", b'["\\ud800"]', b'{"\\uDC00":1}'):
        with pytest.raises(BrokenError):
            strict.loads(raw, "it")
    assert strict.loads(b'["\\ud83d\\ude00", 1e308]', "it") == ["😀", 1e308]
