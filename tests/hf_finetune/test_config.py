"""What a configuration cannot be is refused when it is made, before any work: one line that names the option."""

import pytest

from projects.hf_finetune.config import Config
from shared.errors import UserError

NAN = float("nan")
REFUSED = [
    (Config, {"neutral_band": NAN}, "--neutral_band nan: must be at least 0"),
    (Config, {"mixout": 1.0}, "--mixout 1.0: must be in [0, 1)"),
    (Config, {"warmup": 1.0}, "--warmup 1.0: must be in [0, 1)"),
    (Config, {"save_every": -1}, "--save_every -1: must be at least 0"),
    (Config, {"seed": -1}, "--seed -1: must be at least 0"),
    (Config, {"memory_gb": NAN}, "--memory_gb nan: must be a positive number"),
]


@pytest.mark.parametrize(("config", "settings", "said"), REFUSED)
def test_a_value_out_of_its_bounds_is_refused(config, settings, said):
    with pytest.raises(UserError) as refused:
        config(**settings)
    assert str(refused.value) == said
