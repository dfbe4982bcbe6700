"""What a configuration cannot be is refused when it is made, before any work: one line that names the option."""

import pytest

from projects.rlhf_ppo.config import Config
from projects.rlhf_ppo.rl.ppo import Settings
from shared.errors import UserError

NAN = float("nan")
REFUSED = [
    (Config, {"tokens": 5000}, "--tokens 5000: must be at most 4096"),
    (Config, {"rank": 10**6}, "--rank 1000000: must be at most 16384"),
    (Config, {"ppo": Settings(clip=NAN)}, "--clip nan: must be at least 0"),
    (Config, {"kl_target": -1.0}, "--kl_target -1.0: must be above 0, or None"),
]


@pytest.mark.parametrize(("config", "settings", "said"), REFUSED)
def test_a_value_out_of_its_bounds_is_refused(config, settings, said):
    with pytest.raises(UserError) as refused:
        config(**settings)
    assert str(refused.value) == said
