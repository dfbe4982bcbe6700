"""Who made this run, and is it what was saved: HMAC manifests for checkpoints, hash-chained logs, and their verifier.

    from shared.fingerprint import ChainedLog, seal_directory, team_key, verify

`python -m shared.fingerprint verify PATH` does the same from a shell. The formats are versioned in their payload types.
"""

from shared.fingerprint.keys import TeamKey, team_key
from shared.fingerprint.log import ChainedLog
from shared.fingerprint.manifest import seal_directory
from shared.fingerprint.verdicts import Finding, Verdict
from shared.fingerprint.verify import verify

__all__ = ["ChainedLog", "Finding", "TeamKey", "Verdict", "seal_directory", "team_key", "verify"]
