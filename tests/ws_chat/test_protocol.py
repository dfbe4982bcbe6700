"""Reading frames keeps nothing of what people sent."""

import gc
import json
import tracemalloc

from projects.ws_chat.protocol import RECEIVED


def read(first, count):
    for number in range(first, first + count):
        frame = {"type": "subscribe", "conversation": f"conversation-{number:09}", "after": 0}
        RECEIVED.validate_json(json.dumps(frame))


def test_what_was_read_is_not_kept_in_pydantics_cache_of_strings():
    read(0, 100)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.take_snapshot()
        read(1000, 2000)
        gc.collect()
        grown = tracemalloc.take_snapshot().compare_to(before, "filename")
    finally:
        tracemalloc.stop()
    assert sum(each.size_diff for each in grown if "pydantic" in str(each.traceback)) < 5_000, "of 142,000 bytes read"
