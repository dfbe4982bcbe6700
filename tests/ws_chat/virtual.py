"""An event loop whose clock jumps: nothing takes time but what waits, so that a busy machine changes no test."""

import asyncio
import selectors


class Jumping(selectors.DefaultSelector):
    """Finds what is ready; where nothing is, the clock goes to the next timer at once."""

    def __init__(self):
        super().__init__()
        self.seconds = 0.0

    def select(self, timeout=None):
        found = super().select(0)
        if not found:
            assert timeout is not None, "everything waits for something that nobody will do"
            self.seconds += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, for what needs neither threads nor other processes."""

    def __init__(self):
        self.jumping = Jumping()
        super().__init__(self.jumping)

    def time(self):
        return self.jumping.seconds


def run(test, seconds=60):
    """Run a test in virtual time; it fails if it has not ended after so many seconds of that."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(asyncio.wait_for(test, seconds))
