"""The course's side: one secret from which every team's key of every epoch is derived, and the register of them.

The register, <course key file>.register.json, is sealed under the course key. It says which epochs were issued and
which were revoked, so that a grader refuses the key that leaked. If it is lost, issuing the keys again rebuilds it:
the same team and epoch give the same key.

    K_team = HKDF(course secret, salt = course and year, info = team and epoch)
"""

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.errors import UserError
from shared.fingerprint import envelope
from shared.fingerprint.keys import (
    KEY_BYTES,
    LAST_EPOCH,
    TEAM_FORMAT,
    TeamKey,
    demo_key,
    hkdf_expand,
    hkdf_extract,
    parse_secret,
    read_private,
    split_key_id,
    team_name,
    write_private,
)
from shared.fingerprint.verdicts import BrokenError, Verdict

COURSE_FORMAT = "cc0c2.course-key.v1"
KIND = "register"


@dataclass(frozen=True)
class CourseKey:
    """The course's name, year and secret (32 bytes, kept out of repr)."""

    course: str
    year: int
    secret: bytes = field(repr=False)

    def team_key(self, team: str, epoch: int) -> TeamKey:
        """The key of a team in an epoch (from 1), always the same one, however the name is spelled."""
        team = team_name(team)
        if not 1 <= epoch <= LAST_EPOCH:
            raise UserError(f"no key of epoch {epoch} for {team}: from 1 to {LAST_EPOCH}")
        root = hkdf_extract(f"{self.course}/{self.year}".encode(), self.secret)
        return TeamKey(team, hkdf_expand(root, f"cc0c2 team/{team}/{epoch}".encode(), KEY_BYTES), epoch)

    @property
    def own(self) -> TeamKey:
        """What the register is sealed with; no team can have it, since a team's info begins otherwise."""
        root = hkdf_extract(f"{self.course}/{self.year}".encode(), self.secret)
        return TeamKey("register", hkdf_expand(root, b"cc0c2 register", KEY_BYTES))

    @property
    def exercises(self) -> bytes:
        """What draws exercises that no clone of the repository can draw."""
        root = hkdf_extract(f"{self.course}/{self.year}".encode(), self.secret)
        return hkdf_expand(root, b"cc0c2 exercises", KEY_BYTES)


@dataclass(frozen=True)
class Grader:
    """Accepts the keys that were issued and not revoked.

    Attributes:
        course: The course's key.
        issued: Team → epoch → reason of its revocation, or None.
        team: Accept this team only.
    """

    course: CourseKey
    issued: dict[str, dict[int, str | None]]
    team: str | None = None

    def find(self, key_id: str, version: int = 2) -> TeamKey:
        """The key of this name, derived again.

        Raises:
            BrokenError: WRONG_TEAM for a team that is unknown or not the one expected, or for a key that is not the
                team's; UNKNOWN_EPOCH for an epoch that was not issued or was revoked.
        """
        if version == 1:
            return TeamKey("unknown", bytes(KEY_BYTES)).find(key_id, 1)  # version 1 knew no course: demo or nothing
        team, epoch, digest = split_key_id(key_id)
        if demo := demo_key(team, epoch, digest):
            return demo
        if team not in self.issued or self.team not in (None, team):
            expected = self.team or "any team of this course"
            raise BrokenError(Verdict.WRONG_TEAM, f"signed by {team}, not by {expected}")
        if epoch not in self.issued[team]:
            raise BrokenError(Verdict.UNKNOWN_EPOCH, f"epoch {epoch} of {team} was never issued")
        if (reason := self.issued[team][epoch]) is not None:
            raise BrokenError(Verdict.UNKNOWN_EPOCH, f"epoch {epoch} of {team} was revoked: {reason}")
        key = self.course.team_key(team, epoch)
        if split_key_id(key.id) != (team, epoch, digest):
            raise BrokenError(Verdict.WRONG_TEAM, f"signed with a key that is not the one issued to {team}")
        return key


def new_course_key(path: Path, course: str, year: int) -> CourseKey:
    """Make a course key (a file of mode 0600) and its empty register.

    Raises:
        UserError: If the file exists.
    """
    key = CourseKey(course, year, secrets.token_bytes(KEY_BYTES))
    fields = {"format": COURSE_FORMAT, "course": course, "year": year, "secret": key.secret.hex()}
    write_private(path, json.dumps(fields) + "\n")
    _write_register(path, key, {})
    return key


def read_course_key(path: Path) -> CourseKey:
    """The key in a course key file.

    Raises:
        UserError: If it is missing, readable by others, or no course key.
    """
    try:
        fields = json.loads(read_private(path))
        if fields["format"] != COURSE_FORMAT:
            raise KeyError
        return CourseKey(str(fields["course"]), int(fields["year"]), parse_secret(fields["secret"], str(path)))
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} does not hold a key of format {COURSE_FORMAT}") from None


def grader(path: Path, team: str | None = None) -> Grader:
    """The verifier's side of a course key file and its register.

    Raises:
        UserError: As `read_course_key`, and if the register is missing or was changed.
    """
    course = read_course_key(path)
    return Grader(course, _read_register(path, course), team and team_name(team))


def issue_team_key(course_key: Path, team: str, epoch: int, out: Path) -> TeamKey:
    """Derive a team's key, enter it in the register, and write it to a file of mode 0600.

    Raises:
        UserError: If the epoch was revoked, or `out` exists.
    """
    course, team = read_course_key(course_key), team_name(team)
    issued = _read_register(course_key, course) if register_path(course_key).exists() else {}
    if issued.get(team, {}).get(epoch) is not None:
        raise UserError(f"epoch {epoch} of {team} was revoked: issue a later one")
    key = course.team_key(team, epoch)
    fields = {"format": TEAM_FORMAT, "course": course.course, "year": course.year, "team": team, "epoch": epoch}
    write_private(out, json.dumps({**fields, "secret": key.secret.hex()}) + "\n")
    issued.setdefault(team, {})[epoch] = None
    _write_register(course_key, course, issued)
    return key


def revoke(course_key: Path, team: str, epoch: int, reason: str) -> None:
    """Refuse a team's key of one epoch from now on, for what was signed before too: an HMAC carries no trusted date.

    Raises:
        UserError: If that key was never issued.
    """
    course, team = read_course_key(course_key), team_name(team)
    issued = _read_register(course_key, course)
    if epoch not in issued.get(team, {}):
        raise UserError(f"epoch {epoch} of {team} was never issued: nothing to revoke")
    issued[team][epoch] = reason or "no reason given"
    _write_register(course_key, course, issued)


def register_path(course_key: Path) -> Path:
    """Where a course key's register is."""
    return course_key.with_name(course_key.name + ".register.json")


def _read_register(course_key: Path, course: CourseKey) -> dict[str, dict[int, str | None]]:
    path = register_path(course_key)
    try:
        sealed = envelope.read(path, KIND, course.own)
    except BrokenError as broken:
        hint = "; issue the keys again to rebuild it" if broken.verdict is Verdict.MISSING else ""
        raise UserError(f"{path}: {broken.verdict.value}, {broken.detail}{hint}") from None
    if sealed.signer.is_demo:
        raise UserError(f"{path} is sealed with the demo key: it is not this course's")
    issued: dict[str, dict[int, str | None]] = {}
    for team, epochs in sealed.body["issued"].items():
        issued.setdefault(team_name(team), {}).update({int(epoch): why for epoch, why in epochs.items()})
    return issued


def _write_register(course_key: Path, course: CourseKey, issued: dict[str, dict[int, str | None]]) -> None:
    body: dict[str, Any] = {"course": course.course, "year": course.year}
    body["issued"] = {team: {str(epoch): why for epoch, why in epochs.items()} for team, epochs in issued.items()}
    envelope.write(register_path(course_key), KIND, body, course.own)
