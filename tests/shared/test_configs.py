"""What a configuration cannot be is refused when it is made, before any work: one line that names the option."""

import pytest

from shared.errors import UserError
from shared.lab.engine.agreement import AgreementConfig
from shared.lab.engine.benchmark import BenchConfig
from shared.lab.fingerprint.attacks.__main__ import Arguments as Attacks

REFUSED = [
    (AgreementConfig, {"prompts": 0}, "--prompts 0: must be at least 1"),
    (BenchConfig, {"threads": -1}, "--threads -1: must be at least 0"),
    (Attacks, {"saves": -1}, "--saves -1: must be at least 0"),
]


@pytest.mark.parametrize(("config", "settings", "said"), REFUSED)
def test_a_value_out_of_its_bounds_is_refused(config, settings, said):
    with pytest.raises(UserError) as refused:
        config(**settings)
    assert str(refused.value) == said
