"""Who made this run, and is it what was saved: sealed checkpoints, chained logs, cited results, and their verifier.

    from shared.fingerprint import ChainedLog, open_verified, seal_directory, team_key, verify

`python -m shared.fingerprint` does the same from a shell. The formats are versioned in their payload types; README.md
says what all this proves and what it cannot.
"""

from shared.fingerprint.keys import TeamKey, team_key
from shared.fingerprint.log import ChainedLog
from shared.fingerprint.manifest import open_verified, seal_directory
from shared.fingerprint.verdicts import BrokenError, Finding, Verdict
from shared.fingerprint.verify import refuse_changed, verify

__all__ = [
    "BrokenError",
    "ChainedLog",
    "Finding",
    "TeamKey",
    "Verdict",
    "open_verified",
    "refuse_changed",
    "seal_directory",
    "team_key",
    "verify",
]
