"""PPO, DPO and ORPO on one set of preferences, with LoRA and with bottleneck adapters, at equal cost."""
