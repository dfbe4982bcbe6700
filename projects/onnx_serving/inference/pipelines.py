"""The pipelines for generation and for questions; the second is registered here, since the library dropped it.

    pipeline("question-answering", model=model, tokenizer=tokenizer)(question=..., context=...)

works once this module is imported, as does `question_answering(folder)`.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import AutoModelForQuestionAnswering, pipeline, pipelines
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.base import ChunkPipeline

from projects.onnx_serving.inference.spans import Window, WindowSplitter, decode_answers, pad_windows, rank_spans
from shared.assets import load_causal_lm
from shared.assets.quiet import quiet
from shared.errors import UserError

TASK = "question-answering"
MAX_SEQ_LEN, DOC_STRIDE = 96, 28  # tokens, where a model's folder does not say otherwise


class QuestionAnsweringPipeline(ChunkPipeline):
    """Spans of a context that answer a question, found in overlapping windows.

    Called with `question` and `context` (or a list of dictionaries with both). `top_k` answers come best first, each a
    dictionary with answer, start, end, score and no_answer; with `top_k=1` the dictionary itself. An empty answer says
    that the context holds none.
    """

    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_tokenizer = True

    def __call__(
        self, inputs: Any = None, *, question: str | None = None, context: str | None = None, **options: Any
    ) -> Any:
        """Answer one question, or a list of dictionaries {"question": …, "context": …}."""
        if inputs is None:
            if question is None or context is None:
                raise UserError("a question and a context are needed")
            inputs = {"question": question, "context": context}
        return super().__call__(inputs, **options)

    def _sanitize_parameters(
        self,
        top_k: int | None = None,
        threshold: float | None = None,
        max_seq_len: int | None = None,
        doc_stride: int | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if top_k is not None and top_k < 1:
            raise UserError(f"top_k {top_k}: must be at least 1")
        preprocess = {"max_seq_len": max_seq_len, "doc_stride": doc_stride}
        postprocess = {"top_k": top_k, "threshold": threshold}
        return _given(preprocess), {}, _given(postprocess)

    def preprocess(
        self, inputs: dict[str, str], max_seq_len: int | None = None, doc_stride: int | None = None
    ) -> Iterator[Any]:
        """A question's windows, one a chunk."""
        windows = self.splitter(max_seq_len, doc_stride)(inputs["question"], inputs["context"])
        for number, window in enumerate(windows, start=1):
            yield {"window": window, "context": inputs["context"], "is_last": number == len(windows)}

    def splitter(self, max_seq_len: int | None = None, doc_stride: int | None = None) -> WindowSplitter:
        """Splits into windows; unless told otherwise, as the model was trained."""
        trained = settings_of(self.model)
        size = max_seq_len or trained["window"], doc_stride or trained["overlap"]
        made: dict[tuple[int, int], WindowSplitter] = self.__dict__.setdefault("_splitters", {})
        if size not in made:
            tokenizer = self.tokenizer.backend_tokenizer.to_str()
            made[size] = WindowSplitter(tokenizer, max_length=size[0], stride=size[1])
        return made[size]

    def _forward(self, chunk: dict[str, Any]) -> dict[str, Any]:
        import torch

        arrays = pad_windows([chunk["window"]], self.tokenizer.pad_token_id)
        output = self.model(**{name: torch.from_numpy(array).to(self.device) for name, array in arrays.items()})
        return {**chunk, "start": output.start_logits[0], "end": output.end_logits[0]}

    def postprocess(
        self, outputs: list[dict[str, Any]], top_k: int = 1, threshold: float | None = None
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """The best answers over a question's windows."""
        windows: list[Window] = [output["window"] for output in outputs]
        logits = [(output["start"].float().numpy(), output["end"].float().numpy()) for output in outputs]
        limit = settings_of(self.model)["threshold"] if threshold is None else threshold
        spans = rank_spans(windows, logits, top_k=top_k)
        answers = [asdict(answer) for answer in decode_answers(spans, outputs[0]["context"], threshold=limit)]
        return answers[0] if top_k == 1 else answers[:top_k]


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def settings_of(model: Any) -> dict[str, Any]:
    """Size and overlap of a model's windows, and the margin from which it answers, as training wrote them."""
    default = {"window": MAX_SEQ_LEN, "overlap": DOC_STRIDE, "threshold": 0.0}
    return {**default, **getattr(model.config, "question_answering", {})}


def register() -> None:
    """Make the library's `pipeline` know the task; a second time changes nothing.

    The library keeps a list of tasks that it dropped, and looks there before it looks among the registered ones.
    """
    if TASK not in PIPELINE_REGISTRY.supported_tasks:
        getattr(pipelines, "REMOVED_TASKS", {}).pop(TASK, None)
        PIPELINE_REGISTRY.register_pipeline(
            TASK, pipeline_class=QuestionAnsweringPipeline, pt_model=(AutoModelForQuestionAnswering,), type="text"
        )


register()


def question_answering(folder: Path) -> Any:
    """The pipeline over a folder that training or `save_pretrained` wrote.

    Raises:
        UserError: If the folder holds no such model.
    """
    from transformers import AutoTokenizer

    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds no model: train it first (python -m projects.onnx_serving.training.train_qa)")
    try:
        with quiet():
            model = AutoModelForQuestionAnswering.from_pretrained(folder)
            tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(f"{folder} holds no model that can be loaded ({str(error).splitlines()[0]})") from None
    return pipeline(TASK, model=model, tokenizer=tokenizer, device="cpu")


def text_generation(name: str = "smollm2") -> Any:
    """The library's own pipeline over the embedded decoder; it pads on the left and decodes greedily."""
    model, tokenizer = load_causal_lm(name)
    model.generation_config.max_length = None
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return pipeline("text-generation", model=model, tokenizer=tokenizer, device="cpu", do_sample=False)
