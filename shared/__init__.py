"""What every project needs and nothing that knows a project.

Importing it turns the model hub and telemetry off, unless the environment says otherwise: everything here works from
the embedded models and corpora of `shared.assets`. Set HF_HUB_OFFLINE=0 to let `--model` and `--dataset` reach the hub.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
