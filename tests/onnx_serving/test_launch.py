"""The server as a person starts it: on exported graphs, with a free port, stopped by a signal."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import httpx
import pytest

from projects.onnx_serving.server import __main__ as server_main
from projects.onnx_serving.server.__main__ import main
from projects.onnx_serving.server.launch import running
from projects.onnx_serving.server.settings import PREFIX, Settings
from shared.errors import UserError
from shared.files import write_json
from shared.fingerprint import seal_directory, team_key
from shared.web import launch
from shared.web.launch import stop
from shared.web.settings import from_environment
from tests.onnx_serving.serving import SETTINGS


@pytest.fixture(scope="module")
def folder(tmp_path_factory, graphs, qa_tokenizer, lm_tokenizer):
    made = tmp_path_factory.mktemp("models") / "exported"
    shutil.copytree(graphs, made)
    (made / "qa_tokenizer.json").write_text(qa_tokenizer)
    (made / "lm_tokenizer.json").write_text(lm_tokenizer)
    write_json(made / "serving.json", {"qa": {"window": 48, "overlap": 12, "threshold": -100.0}, "lm": SETTINGS})
    seal_directory(made, {"project": "onnx_serving", "step": 0}, team_key())
    return made


def test_served_and_stopped(folder):
    with running({"models": folder}) as server:
        reply = httpx.post(f"{server.url}/qa", json={"question": "Who?", "context": "A film by Ozu."}, timeout=30)
        made = httpx.post(f"{server.url}/generate", json={"prompt": "hello", "max_new_tokens": 4}, timeout=30)
        assert reply.status_code == 200 and made.status_code == 200
        assert server.url.startswith("http://127.0.0.1:") and server.cold_seconds > 0
        if sys.platform == "linux":
            assert server.resident_mb() > 10
        assert stop(server.process) == 0


def test_nobody_is_believed_who_says_for_whom_he_asks(monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(
        launch, "_Server", lambda config, said: made.append(config) or SimpleNamespace(run=lambda **_: None)
    )
    monkeypatch.setattr(server_main, "load", lambda settings: None)
    monkeypatch.setattr(server_main, "create_app", lambda service, settings: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    try:
        main([], {"ONNX_SERVING_MODELS": str(tmp_path), "ONNX_SERVING_PORT": "0"})
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, launch.STOPPING)
    assert made[0].proxy_headers is False


def test_ctrl_c_ends_the_server_in_one_line(folder):
    with running({"models": folder}) as server:
        server.process.send_signal(signal.SIGINT)
        code = server.process.wait(20)
        assert (code, server.said()) == (130, "interrupted\n")


@pytest.fixture
def refused(monkeypatch, capsys):
    """refused(**settings): the one line with which the command ends, with exit code 2, without a process of its own."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # this process keeps its own handlers

    def serve(**settings):
        given = {f"ONNX_SERVING_{name.upper()}": str(value) for name, value in settings.items()}
        with pytest.raises(SystemExit) as left:
            main([], given)
        shown = capsys.readouterr()
        (line,) = shown.err.splitlines()
        assert left.value.code == 2 and shown.out == ""
        return line

    return serve


def test_a_port_in_use_is_one_line(refused, folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "cannot listen on 127.0.0.1" in refused(models=folder, port=taken.getsockname()[1])


def test_half_a_model_is_one_line(refused, folder, tmp_path):
    broken = tmp_path / "exported"
    shutil.copytree(folder, broken)
    raw = (broken / "decoder.int8.onnx").read_bytes()
    (broken / "decoder.int8.onnx").write_bytes(raw[: len(raw) // 2])
    assert "decoder.int8.onnx: TAMPERED" in refused(models=broken, port=0)


def test_no_models_is_one_line(tmp_path):
    """As a person starts it, in a process."""
    environment = {**os.environ, "ONNX_SERVING_MODELS": str(tmp_path), "ONNX_SERVING_PORT": "0"}
    module = [sys.executable, "-m", "projects.onnx_serving.server"]
    done = subprocess.run(module, env=environment, capture_output=True, text=True)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and done.stdout == "" and "holds no exported models" in line


def test_the_launcher_says_what_the_server_said(tmp_path):
    with pytest.raises(UserError, match=r"did not start: .* holds no exported models"), running({"models": tmp_path}):
        pass


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PORT", "eighty", "whole number"),
        ("PORT", "70000", "from 0 to 65535"),
        ("PRECISION", "int4", "int8 or float32"),
        ("WAITING", "0", "from 1"),
        ("PROT", "1", "no setting"),
    ],
)
def test_settings_refuse(variable, value, said):
    with pytest.raises(UserError, match=said):
        from_environment(Settings, PREFIX, {f"ONNX_SERVING_{variable}": value})


def test_settings_are_read_and_loopback_is_the_default():
    settings = from_environment(Settings, PREFIX, {"ONNX_SERVING_PORT": "9", "HOME": "x"})
    assert settings.port == 9 and settings.host == "127.0.0.1" == Settings().host


def test_an_argument_is_refused(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--port"], {})
    assert left.value.code == 2 and "environment variables only" in capsys.readouterr().err


def test_the_server_needs_no_torch():
    code = "import projects.onnx_serving.server.app, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
