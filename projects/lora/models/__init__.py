"""The network: LoRA layers and the classifier they are trained in."""
