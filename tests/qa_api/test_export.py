"""The graphs compute what torch does, a changed one is refused, and several threads may use one reader."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from projects.qa_api import runtime
from projects.qa_api.export import FACTS, agreement, export, export_bert, graph_name
from projects.qa_api.index.encoder import SentenceEncoder
from projects.qa_api.reader.calibrate import UNCALIBRATED
from projects.qa_api.reader.decode import read
from projects.qa_api.reader.windows import windows
from projects.qa_api.runtime import OneAtATime, load_parts, onnx_parts, opened
from projects.qa_api.server.service import Service
from projects.qa_api.server.settings import Settings
from shared.errors import UserError
from shared.files import read_json
from tests.qa_api.conftest import DOCUMENTS

TEXT = "Malta is an island. Its capital is Valletta, on the north coast. " * 12
PAIRS = [("What is the capital of Malta?", TEXT), ("Who?", "Short text."), ("Where is it?", TEXT[:200])]


@pytest.fixture(scope="module")
def encoder(tiny_reader):
    return SentenceEncoder("tiny", tiny_reader.encoder, tiny_reader.tokenizer)


@pytest.fixture(scope="module")
def folder(tiny_reader, encoder, tmp_path_factory):
    return export(tiny_reader, encoder, tmp_path_factory.mktemp("run") / "onnx", made_from="checkpoint")


def test_float32_scores_and_vectors_are_those_of_torch_at_other_shapes(folder, tiny_reader, encoder):
    reader, computed = onnx_parts(folder, "float32")
    found = windows(tiny_reader.tokenizer, PAIRS, tokens=64, stride=16)
    with torch.inference_mode():
        assert_allclose(reader(found.ids, found.mask), tiny_reader(found.ids, found.mask), rtol=1e-4, atol=1e-5)
    texts = [TEXT, "one", "two words", ""]
    assert_allclose(computed.encode(texts, "query"), encoder.encode(texts, "query"), rtol=1e-3, atol=1e-5)
    assert (computed.width, computed.identity) == (encoder.width, encoder.identity)
    padded = tiny_reader.tokenizer(texts[:2], padding=True, truncation=True, max_length=128, return_tensors="np")
    given = {"ids": padded["input_ids"], "mask": padded["attention_mask"]}
    (vectors,) = computed._session.run(None, given)  # a graph minds its mask, though a server pads nothing
    assert_allclose(vectors, encoder.encode(texts[:2], "query"), rtol=1e-3, atol=1e-5)
    told = agreement(tiny_reader, reader, PAIRS)
    assert told["same_span"] == told["same_decision"] == told["same_where_answered"] == 1.0


def test_int8_is_near_and_a_window_alone_scores_as_among_others(folder, tiny_reader, encoder):
    reader, computed = onnx_parts(folder, "int8")
    vectors, exact = computed.encode([TEXT, "one two"], "passage"), encoder.encode([TEXT, "one two"], "passage")
    assert (vectors * exact).sum(1).min() > 0.97 and np.abs(vectors - exact).max() > 0
    found = windows(tiny_reader.tokenizer, PAIRS, tokens=64, stride=16)
    together = reader(found.ids, found.mask)
    for row in range(len(found.owner)):
        alone = found.rows([row])
        assert torch.equal(reader(alone.ids, alone.mask)[0], together[row, : alone.ids.shape[1]])
    assert torch.isinf(together[~found.mask]).all()


def test_the_words_of_an_int8_graph_are_kept_in_half_precision(folder):
    sizes = {each: (folder / graph_name("reader", each)).stat().st_size for each in ("float32", "int8")}
    assert sizes["int8"] < 0.6 * sizes["float32"]


def test_a_changed_graph_and_a_missing_folder_are_refused_in_a_line(folder, tiny_reader, encoder, tmp_path):
    copy = export(tiny_reader, encoder, tmp_path / "onnx", made_from="x")
    graph = copy / graph_name("reader", "int8")
    raw = bytearray(graph.read_bytes())
    raw[len(raw) // 2] ^= 1
    graph.write_bytes(raw)
    with pytest.raises(UserError, match=r"remove .* and export again"):
        onnx_parts(copy)
    with pytest.raises(UserError, match=r"projects\.qa_api\.export --run"):
        opened(tmp_path / "none")
    assert read_json(folder / FACTS)["made_from"] == "checkpoint"


def test_graphs_of_another_checkpoint_are_refused(folder, monkeypatch):
    monkeypatch.setattr(runtime, "checkpoint_digest", lambda run: "checkpoint")
    threads = torch.get_num_threads()
    try:
        parts = load_parts(folder.parent, encoder="tiny")
        assert isinstance(parts.reader, runtime.OnnxReader) and isinstance(parts.encoder, runtime.OnnxEncoder)
        assert torch.get_num_threads() == 1 and parts.merge is None
        with pytest.raises(UserError, match="another checkpoint or encoder"):
            load_parts(folder.parent, encoder="e5", runtime="onnx")
        monkeypatch.setattr(runtime, "checkpoint_digest", lambda run: "newer")
        with pytest.raises(UserError, match="another checkpoint or encoder"):
            load_parts(folder.parent, encoder="tiny", runtime="onnx")
    finally:
        torch.set_num_threads(threads)


def test_without_graphs_torch_computes_and_only_then(tmp_path, tiny_reader, encoder, folder, monkeypatch):
    monkeypatch.setattr(
        runtime, "load_trained", lambda run: SimpleNamespace(reader=tiny_reader, merge=None, calibrator=UNCALIBRATED)
    )
    monkeypatch.setattr(SentenceEncoder, "load", lambda name: encoder)
    monkeypatch.setattr(tiny_reader, "tokenizer", tiny_reader.tokenizer)
    monkeypatch.setattr(encoder, "tokenizer", encoder.tokenizer)
    monkeypatch.setattr(runtime, "checkpoint_digest", lambda run: "checkpoint")
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    assert load_parts(tmp_path, encoder="tiny").reader is tiny_reader
    assert isinstance(tiny_reader.tokenizer, OneAtATime) and isinstance(encoder.tokenizer, OneAtATime)
    assert load_parts(folder.parent, encoder="tiny", runtime="torch").reader is tiny_reader
    with pytest.raises(UserError, match="is not there"):
        load_parts(tmp_path, encoder="tiny", runtime="onnx")


def test_a_plain_bert_of_it_scores_the_same(tiny_reader, tmp_path):
    from transformers import AutoTokenizer, BertForQuestionAnswering

    folder = export_bert(tiny_reader, tmp_path / "bert")
    model = BertForQuestionAnswering.from_pretrained(folder).eval()
    found = windows(AutoTokenizer.from_pretrained(folder), PAIRS, tokens=64, stride=16)
    with torch.inference_mode():
        told = model(input_ids=found.ids, attention_mask=found.mask.long())
        wanted = tiny_reader(found.ids, found.mask)
    assert_allclose(
        torch.stack([told.start_logits, told.end_logits], -1)[found.mask], wanted[found.mask], rtol=1e-4, atol=1e-5
    )


def test_threads_that_read_at_once_read_what_one_alone_does(folder):
    reader, _ = onnx_parts(folder, "float32")
    alone = {n: read(reader, [PAIRS[n]]) for n in range(3)}
    wrong = []

    def work(n):
        for _ in range(15):
            try:
                if read(reader, [PAIRS[n]]) != alone[n]:
                    wrong.append(n)
            except RuntimeError as error:
                wrong.append(str(error))

    threads = [threading.Thread(target=work, args=(n % 3,)) for n in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


def test_two_threads_are_never_in_one_tokenizer():
    inside, most = [], []

    def tokenizer(text):
        inside.append(text)
        most.append(len(inside))
        time.sleep(0.005)
        inside.remove(text)
        return text.upper()

    shared, told = OneAtATime(tokenizer), []
    threads = [threading.Thread(target=lambda n=n: told.append(shared(f"x{n}"))) for n in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert max(most) == 1 and sorted(told) == [f"X{n}" for n in range(8)]


def test_what_a_server_begins_with_is_encoded_by_the_model_itself(tmp_path, tiny_reader, folder, monkeypatch):
    """The cache of models is read by others too: what is in it is exact, whatever the server computes with."""
    monkeypatch.setenv("CC0C2_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("projects.qa_api.server.service.load_documents", lambda _: DOCUMENTS[:2])
    reader, computed = onnx_parts(folder, "int8")
    asked = []

    class Exact:
        width, identity = computed.width, computed.identity

        def encode(self, texts, role):
            asked.extend(texts)
            return np.eye(computed.width, dtype=np.float32)[: len(texts)]

    service = Service(Settings(data=tmp_path / "data"), computed, reader, exact=Exact())
    assert len(asked) == 2 and service.store.count("demo") == 2
    assert service.store.get("demo", DOCUMENTS[0].id).vector[0] == 1.0
    service.close()
