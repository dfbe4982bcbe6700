"""LoRA from scratch: a low-rank update beside frozen linear layers, trained, saved, merged, pruned and quantised."""
