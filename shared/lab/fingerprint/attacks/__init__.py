"""Every way we know to deceive the verifier, as data: `python -m shared.lab.fingerprint.attacks` tries them all."""

from shared.lab.fingerprint.attacks.checkpoints import ATTACKS as CHECKPOINTS
from shared.lab.fingerprint.attacks.logs import ATTACKS as LOGS
from shared.lab.fingerprint.attacks.manifests import ATTACKS as MANIFESTS
from shared.lab.fingerprint.attacks.places import ATTACKS as PLACES
from shared.lab.fingerprint.attacks.scene import Attack, Scene, build
from shared.lab.fingerprint.attacks.tables import ATTACKS as TABLES

ATTACKS = CHECKPOINTS + MANIFESTS + LOGS + PLACES + TABLES

__all__ = ["ATTACKS", "Attack", "Scene", "build"]
