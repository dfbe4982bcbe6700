"""A server in a process of its own over the small world, for kills: `python -m tests.movie_recs.serving FOLDER`."""

import sys
from pathlib import Path

from projects.movie_recs.server.app import create_app
from projects.movie_recs.server.service import Movies
from projects.movie_recs.server.settings import Settings
from shared.web.launch import serve
from tests.movie_recs.world import WordEncoder, world


def main(folder):
    settings = Settings(data=Path(folder), dataset="none", rate=1e5)
    make = lambda: create_app(Movies(settings, WordEncoder(), world()), settings)  # noqa: E731
    serve(make, host="127.0.0.1", port=0, said="films", grace=5)


if __name__ == "__main__":
    main(sys.argv[1])
