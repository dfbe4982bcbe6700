"""What a configuration cannot be is refused when it is made, before any work: one line that names the option."""

import pytest

from projects.lora.config import Config
from shared.errors import UserError

NAN = float("nan")
REFUSED = [
    (Config, {"rank": 10**6}, "--rank 1000000: must be at most 16384"),
    (Config, {"weight_decay": -1.0}, "--weight_decay -1.0: must be at least 0"),
    (Config, {"warmup": -0.1}, "--warmup -0.1: must be in [0, 1)"),
    (Config, {"lora_dropout": NAN}, "--lora_dropout nan: must be in [0, 1)"),
]


@pytest.mark.parametrize(("config", "settings", "said"), REFUSED)
def test_a_value_out_of_its_bounds_is_refused(config, settings, said):
    with pytest.raises(UserError) as refused:
        config(**settings)
    assert str(refused.value) == said
