"""GRPO as pure functions: `advantages` (numpy), `kl` and `loss` (flat token tensors). No model and no state."""
