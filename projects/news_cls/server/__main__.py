"""`make serve-news_cls`: load the model and answer until SIGTERM or Ctrl-C."""

import os
from collections.abc import Mapping
from typing import Any

from projects.news_cls.server.app import create_app
from projects.news_cls.server.service import Service, load
from projects.news_cls.server.settings import PREFIX, Settings
from shared import devices
from shared.errors import reported
from shared.web.launch import serve
from shared.web.settings import from_environment


def main(environment: Mapping[str, str]) -> None:
    """Serve as the environment says; what a person got wrong ends in one line."""
    with reported():
        settings = from_environment(Settings, PREFIX, environment)

        def make() -> Any:
            devices.use_all_cores()
            classifier, memory = load(settings)
            return create_app(Service(classifier, memory, settings))

        serve(make, host=settings.host, port=settings.port, said="topics of news", grace=10)


if __name__ == "__main__":
    main(os.environ)
