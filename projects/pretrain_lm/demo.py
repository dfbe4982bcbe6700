"""What the default run does after training: verify, reload, compare with a 5-gram, write and measure paragraphs."""

from pathlib import Path

from projects.pretrain_lm.analysis import eval_generation
from projects.pretrain_lm.analysis.eval_generation import GenerationConfig
from projects.pretrain_lm.distributed import Loss
from projects.pretrain_lm.evaluate import Prediction, predict
from projects.pretrain_lm.ngram import KneserNey, documents_of
from projects.pretrain_lm.train_pretrain import Metrics, bytes_of, load, read_corpus
from shared.errors import UserError
from shared.fingerprint import verify
from shared.progress import table

ORDER = 5
TOLERANCE = 2e-2  # nats a token: room for bfloat16; the same weights on the same machine give 0


def check_saved(metrics: Metrics) -> None:
    """Verify the run's fingerprints, and that the reloaded model predicts the test split as the trained one did.

    Raises:
        UserError: If a file changed since it was saved, or the losses differ.
    """
    findings = verify(metrics.directory)
    table("Fingerprints", ["what", "verdict", "found"], [(f.path.name, f.verdict.value, f.detail) for f in findings])
    changed = [finding for finding in findings if not finding.verdict.unchanged]
    if changed:
        raise UserError(f"{changed[0].path}: {changed[0].verdict.value}, {changed[0].detail}")
    config, model, _ = load(metrics.directory)
    again = predict(Loss(model, bfloat16=metrics.bfloat16), read_corpus(config).held_out(config, "test"))
    gap = abs(again.loss - metrics.test.loss)
    print(f"Reloaded: test loss {again.loss:.4f} nats a token, {gap:.1e} from the trained model's\n")
    if gap > TOLERANCE:
        raise UserError(f"{metrics.directory}: the reloaded model's test loss is {gap:.3f} away from the trained one's")


def beside_ngram(metrics: Metrics) -> None:
    """Print the model's perplexity and bits per byte beside a Kneser–Ney 5-gram's on the same tokens."""
    config, _, vocabulary = load(metrics.directory)
    corpus = read_corpus(config)
    grams = KneserNey(documents_of(corpus.folder, "train"), len(vocabulary), ORDER)
    found: dict[str, Prediction] = {
        f"Kneser–Ney {ORDER}-gram": grams.predict(documents_of(corpus.folder, "test")),
        f"Transformer, {metrics.parameters:,} parameters": metrics.test,
    }
    size = bytes_of(corpus, "test")
    rows = [(name, f"{p.perplexity:.2f}", f"{p.bits_per_byte(size):.3f}") for name, p in found.items()]
    table("Test documents, never seen in training", ["model", "perplexity", "bits per byte"], rows)


def paragraphs(directory: Path, count: int = 3) -> None:
    """Write paragraphs by every way of sampling, measure them, and print some."""
    config = GenerationConfig(run=directory, prompts=8, tokens=60, out=directory / "generation")
    eval_generation.main(config)
    shown = (config.out / "samples.md").read_text(encoding="utf-8").split("\n>\n")[:count]
    for sample in shown:
        print(sample.strip().removeprefix("> "), end="\n\n")
    print(f"All measures and figures: {config.out}")
