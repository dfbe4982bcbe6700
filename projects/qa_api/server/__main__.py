"""`make serve-qa_api`: serve until SIGTERM or Ctrl-C; `key TENANT SCOPE NAME` makes a key, `revoke ID` ends one."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from projects.qa_api.runtime import Runtime, load_parts
from projects.qa_api.server.app import create_app, keys_of
from projects.qa_api.server.people import issue
from projects.qa_api.server.service import Service
from projects.qa_api.server.settings import PREFIX, Settings
from shared.errors import UserError, reported
from shared.files import refuse_unwritable
from shared.web.launch import serve
from shared.web.settings import from_environment


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Serve as the environment says; what a person got wrong ends in one line."""
    with reported():
        settings = from_environment(Settings, PREFIX, environment)
        match arguments:
            case []:
                refuse_unwritable(settings.data)

                def make() -> Any:
                    run = Path(settings.reader) if settings.reader else None
                    runtime = cast(Runtime, settings.runtime)
                    own = load_parts(run, encoder=settings.encoder, runtime=runtime, threads=settings.threads)
                    service = Service(settings, own.encoder, own.reader, own.merge, own.calibrator, own.exact)
                    return create_app(service, settings)

                serve(make, host=settings.host, port=settings.port, said="answers questions", grace=5)
            case ["key", tenant, scope, name]:
                sys.stdout.write(f"{issue(keys_of(settings), tenant, scope, name)}\n")
            case ["revoke", identity]:
                keys_of(settings).revoke(identity)
            case _:
                told = " ".join(arguments)
                raise UserError(f"{told}: say nothing, `key TENANT SCOPE NAME` or `revoke ID`; settings are {PREFIX}…")


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
