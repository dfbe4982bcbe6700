"""Libraries without what they draw and tell on the way: a person sees our own line of it, or nothing."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO


@contextmanager
def silenced(level: int = logging.WARNING) -> Iterator[None]:
    """Keep an exporter's and a quantiser's notices, up to this level, off the screen inside the block."""
    disabled = logging.root.manager.disable
    logging.disable(level)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' bars and its table of unused weights off the screen inside the block."""
    from transformers.utils import logging as told

    level, bars = told.get_verbosity(), told.is_progress_bar_enabled()
    told.set_verbosity_error()
    told.disable_progress_bar()
    try:
        yield
    finally:
        told.set_verbosity(level)
        if bars:
            told.enable_progress_bar()


@contextmanager
def without_bars() -> Iterator[None]:
    """The GGUF reader draws its bar with tqdm itself, past the library's own switch."""
    from transformers import modeling_gguf_pytorch_utils as reader

    drawn = reader.tqdm
    reader.tqdm = partial(drawn, disable=True)
    try:
        yield
    finally:
        reader.tqdm = drawn
