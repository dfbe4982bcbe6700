"""The other side of peers.py and benchmark.py: the `adapters` library, in a virtual environment of its own.

    python -P projects/adapters/peer_worker.py train JOB.json RESULT.json
    python -P projects/adapters/peer_worker.py serve JOB.json

It is run by path with that environment's Python and imports nothing of this repository, since the library pins an older
transformers than we use. JOB.json holds the model's folder, token ids, labels, batches and rates: what it trains on is
what ours was trained on, in the same order. The library's Houlsby adapters (DoubleSeqBnConfig) get our size, ReLU and
dropout; the base's own dropout is off, as in ours.
"""

# b batch · t time · d width · c classes

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR


class Peer(nn.Module):
    """The library's adapted BERT, the mean of its tokens and a linear head."""

    def __init__(self, job: dict[str, Any]) -> None:
        import adapters  # type: ignore[import-not-found]
        from transformers import BertModel

        super().__init__()
        off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        self.encoder = BertModel.from_pretrained(job["model"], add_pooling_layer=False, **off)
        adapters.init(self.encoder)
        width = self.encoder.config.hidden_size
        factor = width / job["bottleneck"]
        houlsby = adapters.DoubleSeqBnConfig(reduction_factor=factor, non_linearity="relu", dropout=job["dropout"])
        self.encoder.add_adapter("task", config=houlsby)
        self.encoder.train_adapter("task")
        for name, parameter in self.encoder.named_parameters():
            if "encoder.layer." in name and "LayerNorm" in name:
                parameter.requires_grad_(True)  # as ours
        self.head = nn.Linear(width, job["classes"])
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(b,t) -> (b,c)."""
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state  # (b,t,d)
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return self.head((hidden * weights).sum(1) / weights.sum(1))


def make_optimizer(model: Peer, job: dict[str, Any]) -> AdamW:
    """Decay on the adapters' matrices only; the head has its own rate."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = job["head_lr"] if name.startswith("head.") else job["lr"]
            decay = job["weight_decay"] if ".adapters." in name and parameter.ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    return AdamW([{"params": p, "lr": lr, "weight_decay": wd} for (lr, wd), p in groups.items()])


def step(model: Peer, optimizer: AdamW, batch: list[Any], max_norm: float) -> float:
    """One update. Returns the loss before it."""
    model.train()
    ids, mask, labels = (torch.tensor(part) for part in batch)
    loss = F.cross_entropy(model(ids, mask), labels)
    loss.backward()
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], max_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def padded(rows: list[list[int]]) -> tuple[list[list[int]], list[list[int]]]:
    """Ids and mask of rows, padded with zeros to the longest."""
    longest = max(map(len, rows))
    fill = [longest - len(row) for row in rows]
    ids = [row + [0] * n for row, n in zip(rows, fill, strict=True)]
    return ids, [[1] * len(row) + [0] * n for row, n in zip(rows, fill, strict=True)]


@torch.inference_mode()
def answers(model: Peer, rows: list[list[int]]) -> list[int]:
    """The likeliest class of each row."""
    model.eval()
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    found = [0] * len(rows)
    for start in range(0, len(order), 64):
        chosen = order[start : start + 64]
        ids, mask = padded([rows[row] for row in chosen])
        for row, answer in zip(chosen, model(torch.tensor(ids), torch.tensor(mask)).argmax(1).tolist(), strict=True):
            found[row] = answer
    return found


def train(job: dict[str, Any], result: Path) -> None:
    """Train as the job says; keep the epoch that is best on validation; write losses and test answers."""
    torch.manual_seed(job["seed"])
    model = Peer(job)
    optimizer = make_optimizer(model, job)
    total = sum(len(epoch) for epoch in job["epochs"])
    rising = max(1, round(total * job["warmup"]))
    schedule = LambdaLR(optimizer, lambda n: min((n + 1) / rising, max(0.0, (total - n) / max(1, total - rising))))
    losses: list[float] = []
    started = time.perf_counter()
    kept: tuple[float, list[int]] = (-1.0, [])
    for epoch in job["epochs"]:
        for batch in epoch:
            losses.append(step(model, optimizer, batch, job["max_norm"]))
            schedule.step()
        said = answers(model, job["validation"])
        score = sum(a == b for a, b in zip(said, job["validation_labels"], strict=True)) / len(said)
        if score > kept[0]:
            kept = (score, answers(model, job["test"]))
    sizes = [(p.requires_grad, p.numel()) for p in model.parameters()]
    counted = {"trained": sum(n for moves, n in sizes if moves), "parameters": sum(n for _, n in sizes)}
    seconds = time.perf_counter() - started
    found = {"losses": losses, "validation": kept[0], "answers": kept[1], "seconds": seconds, **counted}
    result.write_text(json.dumps(found), encoding="utf-8")


def serve(job: dict[str, Any]) -> None:
    """Answer each line N with the mean milliseconds of N steps; 0 with peak and growth of the memory in MB, and end."""
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    model = Peer(job)
    optimizer = make_optimizer(model, job)
    batches = [batch for epoch in job["epochs"] for batch in epoch]
    done, before = 0, peak_mb()
    answer("ready")
    for line in sys.stdin:
        steps = int(line)
        if not steps:
            answer([peak_mb(), peak_mb() - before])
            return
        started = time.perf_counter()
        for _ in range(steps):
            step(model, optimizer, batches[done % len(batches)], job["max_norm"])
            done += 1
        answer(1000 * (time.perf_counter() - started) / steps)


def peak_mb() -> float:
    """Peak memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux ru_maxrss of a process that another started begins at the other's
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def answer(value: object) -> None:
    """One line of JSON to the process that asked."""
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    if sys.argv[1] == "train":
        train(given, Path(sys.argv[3]))
    else:
        serve(given)
