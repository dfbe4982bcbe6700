"""`make serve-ts_anomaly`: load or train a detector, and watch what is pushed until SIGTERM or Ctrl-C."""

import os
import sys
from typing import Any

from projects.ts_anomaly.server.app import create_app
from projects.ts_anomaly.server.service import load_or_train
from projects.ts_anomaly.server.settings import PREFIX, Settings
from shared.errors import reported
from shared.files import refuse_unwritable
from shared.run_directories import locked
from shared.web.launch import serve
from shared.web.settings import from_environment


def main() -> None:
    """Serve as the environment says; what a person got wrong ends in one line."""
    with reported():
        if {"-h", "--help"} & set(sys.argv[1:]):
            print(Settings.__doc__)
            return
        settings = from_environment(Settings, PREFIX, os.environ)

        def make() -> Any:
            return create_app(load_or_train(settings), settings)

        refuse_unwritable(settings.data)
        settings.data.mkdir(parents=True, exist_ok=True)
        with locked(settings.data):  # two servers on one folder would each undo what the other keeps
            serve(make, host=settings.host, port=settings.port, said="watches series")


if __name__ == "__main__":
    main()
