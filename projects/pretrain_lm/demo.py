"""What the default run does after training: verify, reload and predict again."""

from projects.pretrain_lm.distributed import Loss
from projects.pretrain_lm.evaluate import evaluate
from projects.pretrain_lm.train_pretrain import Metrics, load_run, read_corpus
from shared.errors import UserError
from shared.fingerprint import refuse_changed

TOLERANCE = 2e-2  # nats a token: room for bfloat16; the same weights on the same machine give 0


def check_saved(metrics: Metrics) -> None:
    """Verify the run's fingerprints, and that the reloaded model predicts the test split as the trained one did.

    Raises:
        UserError: If a file changed since it was saved, or the losses differ.
    """
    refuse_changed(metrics.directory)
    config, model, _ = load_run(metrics.directory)
    again = evaluate(Loss(model, bfloat16=metrics.bfloat16), read_corpus(config).held_out(config, "test"))
    gap = abs(again.loss - metrics.test.loss)
    print(f"Reloaded: test loss {again.loss:.4f} nats a token, {gap:.1e} from the trained model's\n")
    if gap > TOLERANCE:
        raise UserError(f"{metrics.directory}: the reloaded model's test loss is {gap:.3f} away from the trained one's")
