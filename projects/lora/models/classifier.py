"""A pretrained encoder, the mean of its tokens, and a linear head."""

# b batch · t time · d width · c classes

from jaxtyping import Float, Int
from torch import Tensor, nn


class Classifier(nn.Module):
    """Class scores from the mean of the encoder's last hidden states.

    The mean over real tokens is what the embedded encoder was trained with (Reimers and Gurevych 2019, §3); a linear
    head on it is a much stronger baseline than one on the first token.

    Args:
        encoder: A transformers encoder: takes input_ids and attention_mask, returns last_hidden_state.
        dropout: Probability, before the head.
    """

    def __init__(self, encoder: nn.Module, hidden_size: int, num_classes: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, num_classes)

    def forward(self, input_ids: Int[Tensor, "b t"], attention_mask: Int[Tensor, "b t"]) -> Float[Tensor, "b c"]:
        """Scores before the softmax; attention_mask is 1 on real tokens and 0 on padding."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # (b,t,d)
        return self.head(self.dropout(mean_over_tokens(hidden, attention_mask)))


def mean_over_tokens(hidden: Float[Tensor, "b t d"], mask: Int[Tensor, "b t"]) -> Float[Tensor, "b d"]:
    """The mean of the hidden states whose mask is 1; a row without any gives zeros."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)  # (b,t,1)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1.0)
