"""The network: a Transformer encoder, its two heads, and the adapters."""
