"""transformers without what it draws and tells while it loads: a person sees our own line of it, or nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library's bars and its table of unused weights off the screen inside the block."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


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
