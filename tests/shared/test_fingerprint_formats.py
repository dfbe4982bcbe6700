"""What the formats hold, against independent readers; version 1; citations; and the audit."""

import base64
import hashlib
import hmac
import io
import json
import os

import numpy as np
import pytest
from safetensors.numpy import save_file

from shared.errors import UserError
from shared.fingerprint import BrokenError, ChainedLog, TeamKey, Verdict, audit, events, seal_directory, verify
from shared.fingerprint import log as logs
from shared.fingerprint.citations import Cited, Part, pooled, read_best, read_source
from shared.fingerprint.course import CourseKey, Grader
from shared.fingerprint.keys import DEMO_KEY
from shared.fingerprint.origin import data_digest
from shared.fingerprint.results import Row, seal_table
from shared.fingerprint.strict import colliding, loads, unsafe_name
from shared.lab.fingerprint.attacks.edits import body_of
from shared.lab.fingerprint.attacks.scene import KEY, Scene, build, frame, make_run


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def run(tmp_path):
    make_run(tmp_path / "run", "ab" * 8, KEY)
    return tmp_path / "run"


def test_a_manifest_describes_files_and_tensors_as_other_readers_do(tmp_path):
    tensors = {
        "a": np.arange(6, dtype=np.float16).reshape(2, 3),
        "b": np.array([1, 2], dtype=np.int64),
        "c": np.empty(0),
    }
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    seal_directory(tmp_path, {"run": "r", "step": 1}, KEY)
    body = body_of(tmp_path)
    raw = (tmp_path / "model.safetensors").read_bytes()
    assert body["files"] == [{"path": "model.safetensors", "size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}]
    described = {entry["name"]: entry for entry in body["tensors"]["model.safetensors"]}
    names = {"float16": "F16", "int64": "I64", "float64": "F64"}
    assert described.keys() == tensors.keys()
    for name, tensor in tensors.items():
        entry = {"dtype": names[str(tensor.dtype)], "name": name, "shape": list(tensor.shape)}
        head = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        assert described[name] == {**entry, "sha256": hashlib.sha256(head + tensor.tobytes()).hexdigest()}


def test_a_log_line_is_what_the_format_says(run):
    """The chain, written out again from its description."""
    lines = (run / "metrics.jsonl").read_bytes().splitlines()
    run_id, previous = b"ab" * 8, bytes(32)
    key = hmac.digest(KEY.subkey("log"), b"chain" + run_id + b"\x01", "sha256")  # one block of HKDF-Expand
    for seq, line in enumerate(lines):
        body, mac = line[:-74], line[-66:-2]
        message = b"cc0c2.log.v2" + (16).to_bytes(8, "big") + run_id + seq.to_bytes(8, "big") + previous + body
        previous = hmac.digest(key, message, "sha256")
        assert previous.hex().encode() == mac
        key = hashlib.sha256(b"cc0c2 next log key" + key).digest()


def test_the_logger_keeps_no_key_that_could_rewrite(tmp_path):
    """All that is left in a logger after a line: no object in it is the team's secret or an earlier key."""
    with ChainedLog(tmp_path / "log.jsonl", KEY, {"run": "r"}) as log:
        first = log._chain._key
        log.append({"step": 1})
        held = [value for each in (log, log._chain) for value in vars(each).values()]
        assert KEY not in held and KEY.secret not in held and first not in held


@pytest.mark.parametrize("record", [{"seq": 4}, {"kind": "close"}, {"mac": ""}, {"loss": float("nan")}])
def test_records_that_would_confuse_are_refused_and_leave_no_trace(tmp_path, record):
    with ChainedLog(tmp_path / "log.jsonl", KEY, {"run": "r"}) as log:
        log.append({"step": 1})
        with pytest.raises(ValueError):
            log.append(record)
    assert verify(tmp_path / "log.jsonl", KEY)[0].verdict is Verdict.OK


def test_a_log_goes_on_only_from_the_head_that_is_known(run):
    path = run / "metrics.jsonl"
    head = json.loads(path.read_bytes().splitlines()[2])["mac"]
    before = path.read_bytes()
    for wrong in ({"position": 3, "head": "0" * 64}, {"position": 99, "head": None}):
        with pytest.raises(BrokenError) as broken:
            ChainedLog(path, KEY, {}, **wrong)
        assert broken.value.verdict is Verdict.TRUNCATED and path.read_bytes() == before
    ChainedLog(path, KEY, {}, position=3, head=head).abandon()
    assert len(path.read_bytes().splitlines()) == 3


def old_manifest(folder, key, body):
    """As version 1 wrote it."""
    kind = "application/vnd.cc0c2.checkpoint.v1+json"
    payload = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    mac = hmac.digest(
        key.v1_subkey("checkpoint"), b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload), "sha256"
    )
    signature = {"keyid": key.v1_subkey("key id").hex()[:16], "sig": base64.b64encode(mac).decode()}
    document = {"payloadType": kind, "payload": base64.b64encode(payload).decode(), "signatures": [signature]}
    (folder / "manifest.json").write_text(json.dumps(document, indent=2) + "\n")


def old_log(path, key):
    chain, lines = logs.OldChain(key), []
    opening = {"format": logs.OLD_FORMAT, "kind": "open", "team": key.team, "key": key.v1_subkey("key id").hex()[:16]}
    for seq, record in enumerate([{**opening, "run": "r"}, {"step": 1}, {"step": 2}, {"kind": "close", "lines": 4}]):
        body = json.dumps({"seq": seq, **record}, separators=(",", ":")).encode()[:-1]
        lines.append(body + logs.SEAL + chain.next(body) + b'"}\n')
    path.write_bytes(b"".join(lines))


@pytest.mark.parametrize("key", [KEY, TeamKey("demo", DEMO_KEY)], ids=["team", "demo"])
def test_version_1_is_read_and_continued_as_it_was_begun(tmp_path, key):
    folder = tmp_path / "checkpoints" / "step-000001"
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(b"abc")
    entry = {"path": "file", "size": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
    old_manifest(folder, key, {"team": key.team, "run": "r", "step": 1, "files": [entry]})
    old_log(tmp_path / "metrics.jsonl", key)
    straight = (tmp_path / "metrics.jsonl").read_bytes()
    expected = Verdict.UNTRUSTED_DEMO if key.is_demo else Verdict.OK
    assert [f.verdict for f in verify(tmp_path, key)] == [expected, expected]
    with ChainedLog(tmp_path / "metrics.jsonl", key, {}, position=2) as log:
        log.append({"step": 2})
    assert (tmp_path / "metrics.jsonl").read_bytes() == straight
    (folder / "file").write_bytes(b"abd")
    assert Verdict.TAMPERED in {f.verdict for f in verify(tmp_path, key)}
    grader = Grader(CourseKey("c", 2026, bytes(32)), {"quipu": {1: None}})
    known = Verdict.UNTRUSTED_DEMO if key.is_demo else Verdict.WRONG_TEAM
    assert verify(tmp_path / "metrics.jsonl", grader)[0].verdict is known


def test_what_cannot_be_sealed_is_said_and_writes_nothing(tmp_path):
    def refused(name, match):
        with pytest.raises(UserError, match=match):
            seal_directory(tmp_path / name, {}, KEY)
        assert not (tmp_path / name / "manifest.json").exists()

    for name in ("empty", "link", "cut", "twins"):
        (tmp_path / name).mkdir()
    refused("empty", "lists no file")
    (tmp_path / "link" / "x").symlink_to(tmp_path / "cut")
    refused("link", "symbolic link")
    (tmp_path / "cut" / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    refused("cut", r"model\.safetensors: the header claims 8 bytes of a file of 10")
    for name in ("a.bin", "A.bin"):
        (tmp_path / "twins" / name).touch()
    refused("twins", "by case or Unicode form only")


def test_names_and_json_with_two_readings_are_refused():
    for pair in (["caf\u00e9", "cafe\u0301"], ["straße", "STRASSE"]):
        assert colliding(pair), pair
    assert not colliding(["a", "b"])
    for name in ("a//b", "./a", "a/..", "C:/x", "a\\b", "a\0", "a\n", "st\udcff"):
        assert unsafe_name(name), name
    for raw in (b'{"a":1,"a":2}', b'{"a":NaN}', b"[-Infinity]", b"\xff", b"{} {}", b"[" * 100_000):
        with pytest.raises(BrokenError):
            loads(raw, "it")


def test_the_chain_of_events_is_what_the_format_says():
    """Equal records have other heads in other places, and the last head depends on all of them."""
    frames, head = [frame(b"one"), frame(b"two"), frame(b"one")], bytes(32)
    heads = []
    for each in frames:
        head = hashlib.sha256(head + each).digest()
        heads.append(head)
    assert list(events.chain(io.BytesIO(b"".join(frames)))) == heads and len(set(heads)) == 3


def test_event_records_of_a_killed_process_are_sealed_as_they_are(tmp_path):
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(frame(b"one") + frame(b"two")[:9])
    events.seal_events(tmp_path, {"run": "r"}, KEY)
    (found,) = events.verify_events(tmp_path, KEY, run="r")
    assert found.verdict is Verdict.OK and found.detail.startswith("2 TensorBoard records")
    path.write_bytes(path.read_bytes() + b"\0")
    assert events.verify_events(tmp_path, KEY, run="r")[0].detail == "record 2 differs from the sealed one"
    (tmp_path / "events.out.tfevents.2").write_bytes(frame(b"new"))
    verdicts = [f.verdict for f in events.verify_events(tmp_path, KEY, run="r", closed=False)]
    assert verdicts == [Verdict.INCOMPLETE, Verdict.TAMPERED]


def test_rules_give_the_numbers_of_plain_python(run):
    source = read_source(run, KEY)
    every = [r["loss"] for r in source.log.records if "loss" in r]
    window = {rule: source.window("loss", 0, 99, rule) for rule in ("mean", "stdev", "max", "min", "sum")}
    expected = {"mean": np.mean(every), "stdev": np.std(every, ddof=1), "max": 1.0, "min": 0.25, "sum": sum(every)}
    assert {r: float(source.number(c)) for r, c in window.items()} == pytest.approx(expected, rel=1e-12)
    assert source.number(source.window("loss", 0, 99, "mean", digits=2)) == str(round(float(np.mean(every)), 2))
    assert source.number(source.best("loss")) == "1.0" and source.number(source.last("loss")) == "0.25"
    assert source.number(pooled([source.best("loss"), source.last("loss")], "mean")) == "0.625"
    with pytest.raises(UserError, match="no line holds accuracy"):
        source.last("accuracy")
    with pytest.raises(BrokenError, match="no value of loss"):
        source.number(Cited("loss", (Part(source.run, 0, 99),)))


def test_the_best_checkpoint_is_that_of_the_best_line(run):
    best = read_best(run, KEY, "loss")  # its largest loss is that of the first step
    assert best.manifest != read_source(run, KEY).manifest
    assert best.log.records[best.best("loss").parts[0].first]["loss"] == 1.0


def test_a_table_is_not_sealed_with_numbers_that_its_logs_do_not_give(run, tmp_path):
    source = read_source(run, KEY)
    (tmp_path / "t.csv").write_text("loss\n0.3\n")
    with pytest.raises(UserError, match=r"row 1: loss is 0\.3, and the log gives 0\.25"):
        seal_table(tmp_path / "t.csv", project="p", key=KEY, rows=[Row([source], {"loss": source.last("loss")})])
    with pytest.raises(UserError, match="has 1 rows, and 2 citations"):
        seal_table(tmp_path / "t.csv", project="p", key=KEY, rows=[Row([])] * 2)
    assert not (tmp_path / "t.csv.seal.json").exists()


def test_only_a_finished_sound_run_can_be_cited(run):
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run / "metrics.jsonl").write_bytes(b"".join(lines[:-1]))
    with pytest.raises(UserError, match="INCOMPLETE"):
        read_source(run, KEY)
    (run / "metrics.jsonl").write_bytes(b"".join(lines[1:]))
    with pytest.raises(UserError, match="TAMPERED"):
        read_source(run, KEY)


def test_tables_verify_from_the_repository_alone_and_say_what_they_could_not_check(tmp_path):
    scene = build(tmp_path / "scene")
    (scene.root / "runs").rename(tmp_path / "elsewhere")
    found = verify(scene.root / "projects", KEY, recompute=True)
    assert {f.verdict for f in found} == {Verdict.OK}
    assert found[0].detail == "6 of 12 cells recomputed from 2 logs; 0 of 2 manifests are here"


def losses(run, *, wrong=None):
    """A replay that knows the truth of `make_run`, or errs at one step."""

    def replay(start, steps):
        first = int(start.name[5:]) + 1 if start else 1
        return {s: {"loss": 1.0 / s + (0.01 if s == wrong else 0.0)} for s in range(first, first + steps)}

    return replay


def test_an_audit_finds_the_step_that_training_does_not_give(run):
    for seed in range(6):
        sound = audit.audit(run, losses(run), steps=2, seed=seed, keys=KEY)
        assert sound.finding.verdict is Verdict.OK and sound.compared == len(sound.steps) == 2
    starts = {audit.audit(run, losses(run), steps=2, seed=seed, keys=KEY).start for seed in range(20)}
    assert {start and start.name for start in starts} == {None, "step-000002"}
    lied = [audit.audit(run, losses(run, wrong=3), steps=4, seed=seed, keys=KEY).finding for seed in range(4)]
    assert {f.verdict for f in lied} == {Verdict.TAMPERED} and "line 4 says loss 0.333333" in lied[0].detail
    assert audit.audit(run, losses(run, wrong=3), tolerance=0.1, seed=0, keys=KEY).finding.verdict is Verdict.OK


def test_an_audit_of_a_changed_log_or_checkpoint_does_not_begin(run):
    state = run / "checkpoints" / "step-000002" / "state.json"
    kept = state.read_bytes()
    state.write_bytes(b"{}")
    with pytest.raises(UserError, match=r"state\.json: TAMPERED"):
        for seed in range(20):
            audit.audit(run, losses(run), seed=seed, keys=KEY)
    state.write_bytes(kept)
    (run / "metrics.jsonl").write_bytes(b"")
    with pytest.raises(UserError, match="ends before its first line"):
        audit.audit(run, losses(run), keys=KEY)


def test_the_data_digest_depends_on_every_item_and_its_place():
    digests = [
        data_digest(*c)
        for c in ((["a", "b"], [0, 1]), (["b", "a"], [0, 1]), (["a"], ["b", 0, 1]), (["a", "b"], [1, 1]))
    ]
    assert len(set(digests)) == 4 and data_digest(["a", "b"], [0, 1]) == digests[0]


def test_the_scene_is_what_its_description_says(tmp_path):
    scene = Scene(build(tmp_path / "scene").root)
    assert len(scene.lines()) == 7 and scene.checkpoint.is_dir() and scene.events.is_file()
