"""The baseline without fine-tuning: a linear head on frozen features, fitted to the optimum."""

# n texts · d width · c classes

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from projects.lora.data import Texts
from projects.lora.models.classifier import Classifier, mean_over_tokens

PENALTIES = tuple(10.0**exponent for exponent in range(-7, 0))


@torch.no_grad()
def features_of(model: Classifier, texts: Texts, *, batch_size: int = 64) -> Float[Tensor, "n d"]:
    """Inputs of the head, one row a text, with the encoder in evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    features = torch.empty(len(texts), model.head.in_features)
    for rows, batch in texts.batches_by_length(batch_size):
        batch = batch.to(device)
        hidden = model.encoder(input_ids=batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
        features[rows] = mean_over_tokens(hidden, batch.attention_mask).cpu()
    return features


def fit_head(head: nn.Linear, features: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, penalty: float) -> float:
    """Minimise mean cross-entropy + penalty·‖W‖² by L-BFGS from zero weights; returns the loss at the optimum.

    The problem is convex, so neither the seed nor a learning rate matters: no arm is compared with a head that was
    merely trained too briefly.
    """
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    solver = torch.optim.LBFGS(head.parameters(), max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-9)

    def loss() -> Tensor:
        solver.zero_grad()
        value = F.cross_entropy(head(features), labels) + penalty * head.weight.square().sum()
        value.backward()
        return value

    return solver.step(loss).item()


def fit_probe(model: Classifier, train: Texts, validation: Texts) -> dict[str, float]:
    """Fit the model's head with each of PENALTIES, keep the best on validation. Returns its penalty and accuracy."""
    device = model.head.weight.device
    features, labels = features_of(model, train).to(device), torch.tensor(train.labels, device=device)
    seen = features_of(model, validation).to(device)
    gold = torch.tensor(validation.labels, device=device)
    best: dict[str, float] = {"validation_accuracy": -1.0}
    for penalty in PENALTIES:
        head = nn.Linear(model.head.in_features, model.head.out_features).to(device)
        fit_head(head, features, labels, penalty=penalty)
        accuracy = (head(seen).argmax(1) == gold).float().mean().item()
        if accuracy > best["validation_accuracy"]:
            best = {"validation_accuracy": accuracy, "penalty": penalty}
            model.head.load_state_dict(head.state_dict())
    return best
