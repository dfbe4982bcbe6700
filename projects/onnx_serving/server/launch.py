"""The server as a process of its own, for the demonstration, the load test and the tests."""

from functools import partial

from projects.onnx_serving.server.settings import PREFIX
from shared.web import launch

running = partial(launch.running, "projects.onnx_serving.server", PREFIX)
"""`running(options, core=None)`: see `shared.web.launch.running`."""
