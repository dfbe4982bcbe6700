"""What a configuration cannot be is refused when it is made, before any work: one line that names the option."""

import pytest

from projects.pretrain_lm.analysis.loader import LoaderConfig
from projects.pretrain_lm.config import Config
from projects.pretrain_lm.data.clean_corpus import CorpusConfig
from shared.errors import UserError

REFUSED = [
    (Config, {"width": 10**8}, "--width 100000000: must be at most 16384"),
    (Config, {"layers": 10**6}, "--layers 1000000: must be at most 16384"),
    (Config, {"beta2": 1.0}, "--beta2 1.0: must be in [0, 1)"),
    (Config, {"mask_ratio": 0.0}, "--mask_ratio 0.0: must be in (0, 1)"),
    (LoaderConfig, {"batch_size": 0}, "--batch_size 0: must be at least 1"),
    (CorpusConfig, {"tokenizer": "bpe", "vocabulary": -5}, "--vocabulary -5: must be at least 260"),
    (CorpusConfig, {"tokenizer": "char", "vocabulary": -5}, "--vocabulary -5: must be at least 260"),
]


@pytest.mark.parametrize(("config", "settings", "said"), REFUSED)
def test_a_value_out_of_its_bounds_is_refused(config, settings, said):
    with pytest.raises(UserError) as refused:
        config(**settings)
    assert str(refused.value) == said
