"""Whoever listens from a number on has every event after it once, in order."""

from hypothesis import given
from hypothesis import strategies as st

from projects.ws_chat.numbering import EventLog
from projects.ws_chat.protocol import TokenEvent


def token(text):
    return lambda seq: TokenEvent(conversation="conversation", seq=seq, answer="answer-1", text=text)


def test_numbers_go_on_from_where_another_process_was():
    log = EventLog(seq=10_000)
    assert log.append(token("a")).seq == 10_001
    assert log.since(9_999) is None and log.since(10_002) is None
    assert [event.seq for event in log.since(10_000)] == [10_001] and log.since(10_001) == []


@given(
    st.lists(st.one_of(st.just("event"), st.just("cut"), st.just("return")), max_size=80),
    st.integers(1, 12),
)
def test_a_page_whose_line_is_cut_at_will_misses_nothing_and_sees_nothing_twice(steps, kept):
    log, shown, here = EventLog(kept=kept), [], False

    def listen(event):
        shown.append(event.seq)

    for number, step in enumerate(steps):
        if step == "event":
            log.append(token(str(number)))
        elif step == "cut" and here:
            log.listeners.remove(listen)
            here = False
        elif step == "return" and not here:
            missed = log.since(shown[-1] if shown else 0)
            # A snapshot stands for all that came before it.
            shown += [event.seq for event in missed] if missed is not None else range(len(shown) + 1, log.seq + 1)
            log.listeners.append(listen)
            here = True
    assert shown == list(range(1, len(shown) + 1))
    assert not here or len(shown) == log.seq


@given(st.integers(0, 30), st.integers(1, 9), st.integers(-2, 35))
def test_what_is_kept_is_the_end(count, kept, after):
    log = EventLog(kept=kept)
    for number in range(count):
        log.append(token(str(number)))
    whole = range(max(0, count - kept) + 1, count + 1)
    missed = log.since(after)
    if after > count or after < max(0, count - kept):
        assert missed is None
    else:
        assert [event.seq for event in missed] == [seq for seq in whole if seq > after]


def test_a_listener_that_leaves_while_it_listens_disturbs_nobody():
    log, heard = EventLog(), []

    def once(event):
        log.listeners.remove(once)
        heard.append("once")

    log.listeners += [once, lambda event: heard.append("always")]
    log.append(token("a"))
    log.append(token("b"))
    assert heard == ["once", "always", "always"]
