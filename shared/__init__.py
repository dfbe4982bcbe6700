"""What every project needs and nothing that knows a project.

Importing it turns the model hub and telemetry off, unless the environment says otherwise: everything here works from
the embedded models and corpora of `shared.assets`. Set HF_HUB_OFFLINE=0 to let `--model` and `--dataset` reach the hub.

Where it is the first import of a command (`python -m …`), Ctrl-C ends the imports that follow in one line; as soon as
`shared.errors.command` has begun, it is a KeyboardInterrupt again.
"""

import os

from shared.interrupt import until_the_command_begins

until_the_command_begins()
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
