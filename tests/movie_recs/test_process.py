"""A process that is killed in the middle of updates has lost nothing that it had acknowledged."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from projects.movie_recs.feedback.store import Store
from shared.web.keys import ApiKeys
from tests.movie_recs.world import WordEncoder

KILLS = int(os.environ.get("MOVIE_RECS_TEST_KILLS", "8"))
ROOT = Path(__file__).parents[2]


def started(folder):
    environment = {**os.environ, "CC0C2_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.movie_recs.serving", str(folder / "data")],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return process, re.search(r"http://\S+", process.stdout.readline()).group()


def hammer(url, key, number, acknowledged, known):
    """Rate, change one's mind, add and remove films until the server is gone; note what it has answered."""
    with httpx.Client(base_url=url, timeout=5) as client:
        headers = {"X-CSRF-Token": client.post("/api/session").json()["csrf"]}
        known["token"] = client.cookies["movie_recs"]
        admin = {"Authorization": f"Bearer {key}"}
        for turn in range(10_000):
            film, stars = 100 + turn % 30, (1 + turn % 10) / 2
            known["trying"] = ("rate", film, stars)
            if client.put(f"/api/ratings/{film}", json={"stars": stars}, headers=headers).status_code == 200:
                acknowledged["ratings"][film] = stars
            title = f"K{number} {turn}"
            known["trying"] = ("add", title)
            made = client.post("/api/films", json={"title": title, "text": "A robot wakes."}, headers=admin)
            if made.status_code == 201:
                acknowledged["films"][title] = made.json()["id"]
            if turn % 3 == 2:
                gone = f"K{number} {turn - 1}"
                known["trying"] = ("remove", gone)
                if client.delete(f"/api/films/{acknowledged['films'][gone]}", headers=admin).status_code == 200:
                    acknowledged["films"].pop(gone)
                    acknowledged["gone"].add(gone)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kills_in_the_middle_of_updates_lose_nothing_acknowledged(tmp_path):
    key = ApiKeys(tmp_path / "data" / "keys.json", prefix="movies").issue("tests")
    counted = 0
    for number in range(KILLS):
        acknowledged, known = {"ratings": {}, "films": {}, "gone": set()}, {}
        process, url = started(tmp_path)

        def work(url=url, number=number, acknowledged=acknowledged, known=known):
            with suppress(httpx.TransportError):  # the server is gone, as it should be
                hammer(url, key, number, acknowledged, known)

        thread = threading.Thread(target=work)
        thread.start()
        while thread.is_alive() and not acknowledged["films"]:  # however slow the machine: not before it has answered
            time.sleep(0.01)
        thread.join(0.05 + 0.04 * (number % 5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        thread.join(10)
        process.stdout.close()
        counted += len(acknowledged["ratings"]) + len(acknowledged["films"])
        check(tmp_path / "data" / "store.sqlite", acknowledged, known)
    assert counted >= 2 * KILLS


def check(path, acknowledged, known):
    store = Store(path, WordEncoder.identity)
    opinions = {each.film: each.stars for each in store.opinions(store.person(known["token"]))}
    films = {film.title: film.id for film in store.films()[0]}
    trying = known["trying"]
    for film, stars in acknowledged["ratings"].items():
        assert opinions[film] == stars or trying[:2] == ("rate", film)
    for title, id_ in acknowledged["films"].items():
        assert films.get(title) == id_ or trying == ("remove", title)
    assert not acknowledged["gone"] & films.keys()
    store.close()


@pytest.mark.timeout(60)
def test_sigterm_ends_in_order(tmp_path):
    process, url = started(tmp_path)
    assert httpx.get(f"{url}/ready").status_code == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    process.stdout.close()
