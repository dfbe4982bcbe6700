"""Keys: HKDF against the RFC's vectors, a course's keys from one secret, and the commands that make and revoke them."""

import json
import os
import stat

import pytest

from shared.errors import UserError, command
from shared.fingerprint import TeamKey, Verdict, course, seal_directory, team_key, verify
from shared.fingerprint.__main__ import Command, main
from shared.fingerprint.keys import DEMO_KEY, hkdf_expand, hkdf_extract
from shared.fingerprint.verdicts import BrokenError

# RFC 5869, appendix A, test cases 1 to 3 (SHA-256): secret, salt, info, pseudorandom key, output.
VECTORS = [
    (
        "0b" * 22,
        "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
        "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    (
        "0b" * 22,
        "",
        "",
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]


@pytest.mark.parametrize(("secret", "salt", "info", "key", "output"), VECTORS, ids=["A.1", "A.2", "A.3"])
def test_hkdf_gives_the_vectors_of_the_rfc(secret, salt, info, key, output):
    assert hkdf_extract(bytes.fromhex(salt), bytes.fromhex(secret)).hex() == key
    assert hkdf_expand(bytes.fromhex(key), bytes.fromhex(info), len(output) // 2).hex() == output


@pytest.mark.parametrize("length", [0, 8161])
def test_hkdf_refuses_lengths_that_it_cannot_give(length):
    with pytest.raises(ValueError, match="1 to 8160"):
        hkdf_expand(bytes(32), b"", length)


def run(*words):
    return command(main, Command, [str(word) for word in words])


@pytest.fixture
def course_key(tmp_path):
    file = tmp_path / "course.key"
    assert run("new-course-key", file, "--course", "CC0C2", "--year", "2026") == 0
    return file


def issue(course_key, team, epoch=1):
    out = course_key.with_name(f"{team}-{epoch}.key")
    run("issue-team-key", "--course-key", course_key, "--team", team, "--epoch", epoch, "--out", out)
    return out


def sealed_by(folder, file, monkeypatch):
    monkeypatch.setenv("CC0C2_TEAM_KEY_FILE", str(file))
    folder.mkdir()
    (folder / "file").write_text("x")
    seal_directory(folder, {}, team_key())
    return folder


def graded(course_key, folder, *words):
    return run("verify", folder, "--course-key", course_key, *words)


def test_a_course_from_its_key_to_a_revoked_epoch(course_key, tmp_path, monkeypatch, capsys):
    first, second = issue(course_key, "quipu"), issue(course_key, "quipu", 2)
    other = issue(course_key, "ayni")
    of = {file: sealed_by(tmp_path / file.stem, file, monkeypatch) for file in (first, second, other)}
    monkeypatch.delenv("CC0C2_TEAM_KEY_FILE")
    assert [graded(course_key, folder) for folder in of.values()] == [0, 0, 0]
    assert graded(course_key, of[other], "--team", "quipu") == Verdict.WRONG_TEAM.exit_code
    run("revoke", "--course-key", course_key, "--team", "quipu", "--epoch", 1, "--reason", "leaked")
    assert [graded(course_key, folder) for folder in of.values()] == [19, 0, 0]
    assert "epoch 1 of quipu was revoked: leaked" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(UserError, match="was revoked: issue a later one"):
        course.issue_team_key(course_key, "quipu", 1, tmp_path / "again.key")


def test_a_team_tells_its_own_epochs_apart(course_key, tmp_path, monkeypatch):
    first, second = issue(course_key, "quipu"), issue(course_key, "quipu", 2)
    folder = sealed_by(tmp_path / "old", first, monkeypatch)
    monkeypatch.setenv("CC0C2_TEAM_KEY_FILE", str(second))
    assert [f.verdict for f in verify(folder)] == [Verdict.UNKNOWN_EPOCH]


def test_key_files_are_private_and_never_overwritten(course_key, tmp_path):
    team = issue(course_key, "quipu")
    for file in (course_key, team):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for words in (
        ("new-course-key", course_key),
        ("issue-team-key", "--course-key", course_key, "--team", "ayni", "--out", team),
    ):
        before = team.read_bytes(), course_key.read_bytes()
        with pytest.raises(SystemExit):
            run(*words)
        assert (team.read_bytes(), course_key.read_bytes()) == before
    (tmp_path / "link.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="exists and is not overwritten"):
        course.new_course_key(tmp_path / "link.key", "x", 2026)
    assert not (tmp_path / "elsewhere").exists()
    os.chmod(course_key, 0o640)
    with pytest.raises(UserError, match="chmod 600"):
        course.read_course_key(course_key)


def test_the_same_secret_gives_the_same_keys_and_nothing_else_does():
    one = course.CourseKey("CC0C2", 2026, bytes(32))
    variants = [
        one.team_key("quipu", 1),
        one.team_key("quipu", 2),
        one.team_key("quipu1", 1),
        course.CourseKey("CC0C2", 2027, bytes(32)).team_key("quipu", 1),
        course.CourseKey("other", 2026, bytes(32)).team_key("quipu", 1),
        course.CourseKey("CC0C2", 2026, bytes(31) + b"1").team_key("quipu", 1),
        one.own,
    ]
    assert len({key.secret for key in variants}) == len(variants)
    assert one.team_key("quipu", 1) == variants[0]
    assert all(bytes(32).hex() not in repr(each) and each.secret.hex() not in repr(each) for each in variants)


@pytest.mark.parametrize(("team", "epoch"), [("a/b", 1), ("", 1), ("-x", 1), ("x" * 65, 1), ("quipu", 0)])
def test_names_that_could_pass_for_others_get_no_key(team, epoch):
    with pytest.raises(UserError):
        course.CourseKey("CC0C2", 2026, bytes(32)).team_key(team, epoch)


def test_the_register_cannot_be_edited_or_left_out(course_key):
    issue(course_key, "quipu")
    register = course.register_path(course_key)
    kept = register.read_bytes()
    register.write_bytes(kept[:60] + bytes([kept[60] ^ 1]) + kept[61:])
    with pytest.raises(UserError, match="TAMPERED"):
        course.grader(course_key)
    register.unlink()
    with pytest.raises(UserError, match="issue the keys again to rebuild it"):
        course.grader(course_key)
    issue(course_key, "quipu", 3)
    assert course.grader(course_key).issued == {"quipu": {3: None}}
    course.register_path(course_key).write_bytes(demo_register())
    with pytest.raises(UserError, match="demo key"):
        course.grader(course_key)


def demo_register():
    from shared.fingerprint import envelope

    return envelope.seal(course.KIND, {"issued": {"ayni": {"1": None}}}, TeamKey("register", DEMO_KEY))


def test_key_files_that_are_none(tmp_path, monkeypatch, course_key):
    file = tmp_path / "some.key"
    for content in ("", "{}", '{"format":"cc0c2.team-key.v2"}', "zz" * 32, "ab" * 31):
        file.write_text(content)
        file.chmod(0o600)
        monkeypatch.setenv("CC0C2_TEAM", "quipu")
        monkeypatch.setenv("CC0C2_TEAM_KEY_FILE", str(file))
        with pytest.raises(UserError, match="does not hold a key"):
            team_key()
        with pytest.raises(UserError, match="does not hold a key"):
            course.read_course_key(file)
    monkeypatch.setenv("CC0C2_TEAM_KEY_FILE", str(issue(course_key, "ayni")))
    with pytest.raises(UserError, match="is the key of ayni"):
        team_key()


@pytest.mark.parametrize(
    "key_id", [None, 7, "quipu", "quipu/1", "quipu/1/xyz", "quipu/1/0123456789abcdef/", "../1/" + "0" * 16]
)
def test_a_key_id_that_is_none_is_tampering(key_id):
    with pytest.raises(BrokenError) as broken:
        TeamKey("quipu", bytes(32)).find(key_id)
    assert broken.value.verdict is Verdict.TAMPERED


def test_a_report_in_json_and_a_demo_that_is_allowed(tmp_path, capsys):
    (tmp_path / "sealed").mkdir()
    (tmp_path / "sealed" / "file").write_text("x")
    seal_directory(tmp_path / "sealed", {}, team_key())
    words = ("verify", tmp_path / "sealed", "--json", tmp_path / "report.json")
    assert (run(*words), run(*words, "--allow-demo")) == (10, 0)
    assert "demo key, which everybody knows" in capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["verdict"], report["exit_code"], report["counts"]["UNTRUSTED-DEMO"]) == ("UNTRUSTED-DEMO", 0, 1)
    (tmp_path / "sealed" / "file").write_text("y")
    assert run(*words, "--allow-demo") == 11
    assert json.loads((tmp_path / "report.json").read_text())["findings"][0]["path"].endswith("sealed/file")


def test_a_clone_without_runs_is_told_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("verify") == 0
    assert "Nothing to verify yet" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run("verify", "nowhere")
    assert "nothing to verify: nowhere is not there" in capsys.readouterr().err
    (tmp_path / "runs" / "begun").mkdir(parents=True)
    assert run("verify") == 0
    assert run("verify", "runs/begun") == Verdict.INCOMPLETE.exit_code
    assert "holds no file yet" in capsys.readouterr().out
