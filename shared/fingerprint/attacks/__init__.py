"""Every way we know to deceive the verifier, as data: `python -m shared.fingerprint.attacks` tries them all."""

from shared.fingerprint.attacks.checkpoints import ATTACKS as CHECKPOINTS
from shared.fingerprint.attacks.logs import ATTACKS as LOGS
from shared.fingerprint.attacks.manifests import ATTACKS as MANIFESTS
from shared.fingerprint.attacks.scene import Attack, Scene, build
from shared.fingerprint.attacks.tables import ATTACKS as TABLES

ATTACKS = CHECKPOINTS + MANIFESTS + LOGS + TABLES

__all__ = ["ATTACKS", "Attack", "Scene", "build"]
