"""`make serve-movie_recs`: serve until SIGTERM or Ctrl-C; `key NAME` makes an administrator's key."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from threadpoolctl import threadpool_limits

from projects.movie_recs.server.app import KEYS, create_app
from projects.movie_recs.server.loading import load_movies
from projects.movie_recs.server.settings import PREFIX, Settings
from shared.errors import UserError, reported
from shared.files import refuse_unwritable
from shared.web.keys import ApiKeys
from shared.web.launch import serve
from shared.web.settings import from_environment


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Serve as the environment says; what a person got wrong ends in one line."""
    with reported():
        settings = from_environment(Settings, PREFIX, environment)
        keys = ApiKeys(settings.data / KEYS, prefix="movies")
        match arguments:
            case []:
                refuse_unwritable(settings.data)
                threadpool_limits(1, user_api="blas")  # a list is one thread's work: two would wait for each other

                def make() -> Any:
                    return create_app(load_movies(settings), settings)

                serve(make, host=settings.host, port=settings.port, said="recommends films", grace=5)
            case ["key", name]:
                sys.stdout.write(f"{keys.issue(name)}\n")
            case ["revoke", identity]:
                keys.revoke(identity)
            case _:
                raise UserError(
                    f"{' '.join(arguments)}: say nothing, `key NAME` or `revoke ID`; settings are {PREFIX}…"
                )


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
