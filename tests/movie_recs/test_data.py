"""Joins, R's files, divisions: what goes in is what is thought to go in."""

import bz2
import hashlib
import io
import struct
import tarfile
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projects.movie_recs.data import dslabs, rdata
from projects.movie_recs.data.catalogue import join
from projects.movie_recs.data.films import Film, film_of, people, sentences, story, without_names
from projects.movie_recs.data.ratings import by_date, by_time, in_order, last_likes
from projects.movie_recs.data.sources import Rated, Text
from projects.movie_recs.data.titles import shown_title, title_key, title_keys
from shared.errors import UserError
from tests.movie_recs.world import ratings

# ---------------------------------------------------------------- R's files


def xdr(value):
    """What R's serialize writes of a string, whole numbers, a list or a dictionary (a list with names)."""
    if value is None:
        return struct.pack(">i", 254)
    if isinstance(value, str):
        return struct.pack(">ii", 9 | 64 << 12, len(value.encode())) + value.encode()
    if isinstance(value, dict):
        body = struct.pack(">ii", 19 | 512, len(value)) + b"".join(xdr(each) for each in value.values())
        return body + attribute("names", list(value))
    if all(isinstance(each, str) for each in value):
        return struct.pack(">ii", 16, len(value)) + b"".join(xdr(each) for each in value)
    if all(isinstance(each, int) for each in value):
        return struct.pack(f">ii{len(value)}i", 13, len(value), *value)
    return struct.pack(f">ii{len(value)}d", 14, len(value), *value)


def attribute(name, value):
    symbol = struct.pack(">i", 1) + xdr(name)
    return struct.pack(">i", 2 | 1024) + symbol + xdr(value) + struct.pack(">i", 254)


HEADER = b"X\n" + struct.pack(">iii", 2, 197888, 131840)


def lazy_load(folder, frame, pack=zlib.compress, mark=b""):
    content = HEADER + xdr(frame)
    block = struct.pack(">I", len(content)) + mark + pack(content)
    (folder / "Rdata.rdb").write_bytes(block)
    index = HEADER + xdr({"variables": {"films": [0, len(block)]}, "references": {}, "compressed": [1]})
    (folder / "Rdata.rdx").write_bytes(zlib.compress(index))
    return folder / "Rdata"


@pytest.mark.parametrize(("pack", "mark"), [(zlib.compress, b""), (bz2.compress, b"2")])
def test_a_data_frame_is_read_as_it_was_written(tmp_path, pack, mark):
    frame = {"title": ["Amélie", "Up"], "year": [2001, 2009], "stars": [4.5, 3.0]}
    assert rdata.data_frame(lazy_load(tmp_path, frame, pack, mark), "films") == frame


def test_missing_values_and_factors():
    factor = struct.pack(">ii3i", 13 | 512, 3, 2, 1, rdata.MISSING) + attribute("levels", ["a", "b"])
    assert rdata.unserialize(HEADER + factor).column() == ["b", "a", None]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"A\n....", "XDR"),
        (HEADER + struct.pack(">ii", 13, 5), "middle"),
        (HEADER + struct.pack(">i", 3), "type 3"),  # a closure: code, and never read
        (HEADER + struct.pack(">i", 6), "type 6"),  # a call
    ],
)
def test_what_is_no_data_is_refused(content, said):
    with pytest.raises(UserError, match=said):
        rdata.unserialize(content)


def test_a_damaged_or_missing_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        rdata.data_frame(tmp_path / "Rdata", "films")
    base = lazy_load(tmp_path, {"a": [1]})
    with pytest.raises(UserError, match="holds no 'b'"):
        rdata.data_frame(base, "b")
    (tmp_path / "Rdata.rdb").write_bytes(struct.pack(">I", 2**31) + b"x" * 60)
    with pytest.raises(UserError, match="claim"):
        rdata.data_frame(base, "films")


def deb(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    found = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\n"), ("data.tar.xz", packed.getvalue())):
        found += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
            + content
            + b"\n" * (len(content) % 2)
        )
    return found


def test_a_package_is_unpacked_by_name_and_digest(tmp_path):
    inside = f"./{dslabs.INSIDE}"
    content = deb(
        {f"{inside}Rdata.rdb": b"heap", f"{inside}Rdata.rdx": b"index", "../../evil": b"no", f"{inside}x": b"no"}
    )
    package = tmp_path / "p.deb"
    package.write_bytes(content)
    (tmp_path / "out").mkdir()
    dslabs.unpack(package, tmp_path / "out", hashlib.sha256(content).hexdigest())
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        "Rdata.rdb": b"heap",
        "Rdata.rdx": b"index",
    }
    with pytest.raises(UserError, match="SHA-256"):
        dslabs.unpack(package, tmp_path / "out")


def test_without_the_package_there_is_one_line_that_names_the_other_set(tmp_path, monkeypatch):
    monkeypatch.setenv("CC0C2_CACHE", str(tmp_path))
    monkeypatch.setattr(dslabs, "INSTALLED", tmp_path / "none")
    with pytest.raises(UserError, match=r"fetches it.*--dataset ml-100k"):
        dslabs.table()
    monkeypatch.setattr(dslabs.shutil, "which", lambda _: None)
    with pytest.raises(UserError, match="apt-get, which this system lacks"):
        dslabs.fetch()
    assert not any(tmp_path.rglob("Rdata*"))


# ---------------------------------------------------------------- titles and joins


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Shawshank Redemption, The", "The Shawshank Redemption"),
        ("Beautiful Mind, A", "A Beautiful Mind"),
        ("Amélie", "Amelie"),
        ("WALL·E", "Wall E"),
        ("Singin' in the Rain", "Singin in the Rain"),
        ("Lilo & Stitch", "Lilo and Stitch"),
        ("Misérables, Les", "Les Miserables"),
    ],
)
def test_titles_that_are_one(one, other):
    assert title_key(one) == title_key(other)


def test_titles_that_are_two_and_titles_of_an_article():
    assert title_key("Alien") != title_key("Aliens")
    assert title_key("The The") == "the" and title_key("It") == "it"
    assert "tonari no totoro" in title_keys("My Neighbor Totoro (Tonari no Totoro)")
    assert shown_title("Matrix, The (Reloaded)") == "The Matrix (Reloaded)"


@given(st.text(max_size=40))
def test_a_key_of_a_key_is_itself_and_nothing_raises(title):
    once = title_key(title)
    assert title_key(once) == once or once.split()[:1] in (["the"], ["a"], ["an"])
    assert title_keys(title) and film_of(Film(id=1, title=title).as_dict()).title == title


def rated(*films):
    titles, years = zip(*films, strict=True)
    count = len(films)
    return Rated(in_order([], [], [], [], 1, count), tuple(range(count)), titles, years, ((),) * count)


def told(title, year=0, kind="introduction", mispaired=False):
    years = (2001, 2004) if kind == "plot" else (year, year)
    return Text(title, years, kind, f"{title} {year} {kind}", mispaired)


def test_texts_go_to_the_film_that_they_are_about():
    source = rated(
        ("Solaris (Solyaris)", 1972),
        ("Solaris", 2002),
        ("Alien", 1979),
        ("Pinocchio", 1940),
        ("Dolls", 2002),
        ("Dolls", 2003),
    )
    texts = [
        told("Solaris", 1972),
        told("Solaris", kind="plot"),
        told("Alien", 1980),
        told("Pinocchio", kind="plot"),
        told("Dolls", kind="plot"),
        told("Alien", 1979),
        told("Alien", 1979, mispaired=True),
        told("None", 1979),
        told("Alien", 0),
    ]
    taken, outcomes = join(source, texts)
    assert {column: (text.title, text.kind) for column, text in taken.items()} == {
        0: ("Solaris", "introduction"),
        1: ("Solaris", "plot"),
        2: ("Alien", "introduction"),
    }
    assert taken[2].years == (1980, 1980), "release years within one are one film; the first text stays"
    assert outcomes == {
        ("introduction", "joined"): 2,
        ("plot", "joined"): 1,
        ("plot", "another year"): 1,
        ("plot", "several films"): 1,
        ("introduction", "text taken"): 1,
        ("introduction", "mispaired"): 1,
        ("introduction", "no ratings"): 1,
        ("introduction", "no year"): 1,
    }


# ---------------------------------------------------------------- texts


def test_people_names_and_story():
    text = (
        "Alien is a horror film directed by Ridley Scott and starring Sigourney Weaver, John Hurt and H. D. Stanton. "
        "It follows a crew that is hunted by a creature. It won an award."
    )
    film = Film(id=1, title="Alien", text=text, kind="introduction", people=people(text, "introduction"))
    assert film.people == ("Ridley Scott", "Sigourney Weaver", "John Hurt", "H. D. Stanton")
    masked = without_names(film)
    assert not any(name in masked for name in ("Ridley", "Scott", "Weaver", "Stanton", "Alien")) and "hunted" in masked
    assert story(film) == "It follows a crew that is hunted by a creature."
    assert story(Film(id=1, title="x", text="He won an award.", kind="plot")) == "He won an award."
    assert people("Gordon (Arnold Schwarzenegger) hits (twice).", "plot") == ("Arnold Schwarzenegger",)
    assert sentences("") == [] and story(Film(id=1, title="x")) == ""


def test_a_digest_changes_with_everything_that_vectors_depend_on():
    film = Film(id=1, title="A", year=1, genres=("x",), people=("P",), text="t")
    others = [
        Film(id=1, title="B", year=1, genres=("x",), people=("P",), text="t"),
        Film(id=1, title="A", year=1, genres=("x",), people=("P",), text="u"),
        Film(id=1, title="A", year=1, genres=("y",), people=("P",), text="t"),
    ]
    assert len({film.digest, *(other.digest for other in others)}) == 4


# ---------------------------------------------------------------- divisions


def test_a_rating_that_is_given_twice_counts_once_and_the_later_one_stands():
    found = in_order([0, 0, 0], [1, 1, 0], [2.0, 5.0, 3.0], [10, 20, 15], 1, 2)
    assert found.film.tolist() == [0, 1] and found.stars.tolist() == [3.0, 5.0]


def keys(part):
    return set(zip(part.user.tolist(), part.film.tolist(), strict=True))


@pytest.mark.parametrize("divide", [lambda r: last_likes(r, 3, 7), by_time, by_date])
def test_no_part_knows_another_and_time_runs_forward(divide):
    whole = ratings(seed=3)
    parts = divide(whole)
    train, validation, test = (keys(part) for part in (parts.train, parts.validation, parts.test))
    assert not train & validation and not (train | validation) & test and test
    for user in set(parts.test.user.tolist()) & set(parts.known.user.tolist()):
        assert parts.known.time[parts.known.user == user].max() <= parts.test.time[parts.test.user == user].min()
    assert keys(parts.known) == train | validation


def test_last_likes_are_the_last_ones():
    whole = ratings(seed=4)
    parts = last_likes(whole, 3, 7)
    for user in set(parts.test.user.tolist()):
        liked = whole.film[(whole.user == user) & whole.liked]
        assert parts.test.film[parts.test.user == user].tolist() == liked[-3:].tolist()
        assert parts.validation.film[parts.validation.user == user].tolist() == liked[-6:-3].tolist()


def test_films_are_counted_anew():
    whole = ratings()
    some = whole.of_films([5, 2])
    assert some.films == 2 and len(some) == int(np.isin(whole.film, [5, 2]).sum())
    assert some.matrix()[:, 0].sum() == (whole.film == 5).sum()
