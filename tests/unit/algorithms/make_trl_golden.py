"""Writes golden/trl_1_16_0.json: TRL's own advantages, loss and gradient on one fixed batch, in many settings.

    pip install --no-deps --target DIR trl==1.16.0
    PYTHONPATH=DIR python tests/unit/algorithms/make_trl_golden.py

Each case builds a real `trl.GRPOTrainer` (of a very small random Qwen2) and runs its
`_generate_and_score_completions`, which makes masks, counts, advantages and importance ratios, then its
`_compute_loss`. Two things are put in: the completions and rewards, through the public `rollout_func` and
reward function, and the log-probabilities, by replacing `_get_per_token_logps_and_entropies` with fixed
float64 tensors; so the gradient is the one with respect to the policy's log-probabilities.
"""

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import torch
import trl
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

GOLDEN = Path(__file__).parent / "golden" / "trl_1_16_0.json"
PAD, EOS, WORD = 0, 1, 2
MAX_COMPLETION_TOKENS = 7
LENGTHS = [3, 7, 1, 5, 7, 2, 4, 6, 7, 2, 1, 3]
TRUNCATED = [False, True, False, False, True, False, False, False, False, False, False, False]
# None: can't be judged. The last group has no variance.
REWARDS = [1.0, 0.0, 0.25, 1.0, None, 0.5, 0.1, 0.3, 0.1, 0.1, 0.1, 0.1]
GROUP_SIZE = 4

OFF, HIGHER, OVERLONG = {"old": True}, {"epsilon_high": 0.28}, {"mask_truncated_completions": True}
KL = {"beta": 0.04, "use_bias_correction_kl": False}
TIS, MEAN_ONLY = {"old": True, "importance_cap": 1.1}, {"scale_rewards": "none"}
VARIANTS = {
    "on_policy": {},
    "on_policy_kl": KL,
    "off_policy": OFF,
    "off_policy_mean_only": OFF | MEAN_ONLY,
    "clip_higher": OFF | HIGHER,
    "overlong": OFF | OVERLONG,
    "kl": OFF | KL,
    "importance": TIS,
    "everything": TIS | HIGHER | OVERLONG | KL | MEAN_ONLY,
}
SEQUENCE = {"importance_sampling_level": "sequence", "epsilon": 0.05, "epsilon_high": 0.08}
CUT = {"epsilon_high": 1.2}  # for "cispo" TRL means the weight itself
OTHER_LOSSES = {
    f"{name}/{variant}": (loss_type, settings | extra)
    for name, loss_type, settings in (("gspo", "grpo", SEQUENCE), ("cispo", "cispo", CUT), ("sapo", "sapo", {}))
    for variant, extra in (("on_policy", {}), ("off_policy", OFF), ("everything", TIS | OVERLONG | KL | MEAN_ONLY))
}


def fixed_logprobs() -> dict[str, list[float]]:
    """Four sets for the same tokens, close enough that some ratios are clipped and most are not."""
    generator = np.random.default_rng(38)
    num_tokens = sum(LENGTHS)
    old = -generator.exponential(1.2, num_tokens) - 0.3
    return {
        "old_logprobs": old.tolist(),
        "policy_logprobs": (old + generator.normal(0, 0.3, num_tokens)).clip(max=0).tolist(),
        "ref_logprobs": (old + generator.normal(0, 0.4, num_tokens)).clip(max=0).tolist(),
        "rollout_logprobs": (old + generator.normal(0, 0.15, num_tokens)).clip(max=0).tolist(),
    }


def split(flat: list[float]) -> list[list[float]]:
    ends = np.cumsum(LENGTHS)
    return [flat[end - length : end] for end, length in zip(ends, LENGTHS, strict=True)]


def padded(flat: list[float]) -> torch.Tensor:
    rows = [torch.tensor(row, dtype=torch.float64) for row in split(flat)]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def rollout_func(prompts, trainer):
    rollout = split(fixed_logprobs()["rollout_logprobs"])
    completions = [
        [WORD] * (length - 1) + [WORD if truncated else EOS]
        for length, truncated in zip(LENGTHS, TRUNCATED, strict=True)
    ]
    return {"prompt_ids": [[WORD, WORD]] * len(prompts), "completion_ids": completions, "logprobs": rollout}


def reward(prompts, completions, **columns):
    return REWARDS


def build_trainer(folder: str, loss_type: str, settings: dict) -> trl.GRPOTrainer:
    vocabulary = {"<pad>": PAD, "<eos>": EOS, "word": WORD}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="word"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=8, num_key_value_heads=1, eos_token_id=EOS, **sizes))
    options = {key: value for key, value in settings.items() if key not in ("old", "importance_cap", "beta")}
    arguments = trl.GRPOConfig(
        output_dir=folder, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none",
        per_device_train_batch_size=len(LENGTHS), num_generations=GROUP_SIZE, loss_type=loss_type,
        max_completion_length=MAX_COMPLETION_TOKENS, num_iterations=2 if settings.get("old") else 1, **options,
    )  # fmt: skip
    data = Dataset.from_dict({"prompt": ["word word"] * (len(LENGTHS) // GROUP_SIZE)})
    trainer = trl.GRPOTrainer(
        model, reward, args=arguments, train_dataset=data, processing_class=tokenizer, rollout_func=rollout_func
    )
    trainer.current_gradient_accumulation_steps = 1
    if "beta" in settings:  # set after the start, which would load a reference model by name
        trainer.beta, trainer.ref_model = settings["beta"], "reference"
    if "importance_cap" in settings:  # set after the start, which would connect to a vLLM server
        trainer.use_vllm, trainer._last_loaded_step = True, trainer.state.global_step
        trainer.vllm_importance_sampling_correction, trainer.vllm_importance_sampling_mode = True, "token_truncate"
        trainer.vllm_importance_sampling_clip_min = None
        trainer.vllm_importance_sampling_clip_max = settings["importance_cap"]
    return trainer


def run_case(folder: str, loss_type: str, settings: dict) -> dict:
    trainer = build_trainer(folder, loss_type, settings)
    tensors = {name: padded(values) for name, values in fixed_logprobs().items()}
    policy = tensors["policy_logprobs"].requires_grad_()

    def fixed_forward(model, *args, **kwargs):
        if model == "reference":
            return tensors["ref_logprobs"], None, None
        if not torch.is_grad_enabled():
            return tensors["old_logprobs"], None, None
        return policy, torch.zeros_like(policy), None

    trainer._get_per_token_logps_and_entropies = fixed_forward
    trainer.model.train()
    inputs = trainer._generate_and_score_completions([{"prompt": "word word"}] * len(LENGTHS))
    assert ("old_per_token_logps" in inputs) == bool(settings.get("old"))
    loss = trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    gradient = [row[:length] for row, length in zip(policy.grad.tolist(), LENGTHS, strict=True)]
    metrics = trainer._metrics["train"]
    return {
        "loss_type": loss_type,
        "settings": settings,
        "advantages": inputs["advantages"].tolist(),
        "loss": loss.item(),
        "gradient": [value for row in gradient for value in row],
        "kl": metrics["kl"][-1] if "kl" in metrics else None,
        "clip_low_share": metrics["clip_ratio/low_mean"][-1] if metrics.get("clip_ratio/low_mean") else None,
        "clip_high_share": metrics["clip_ratio/high_mean"][-1] if metrics.get("clip_ratio/high_mean") else None,
    }


def main() -> None:
    assert trl.__version__ == "1.16.0", trl.__version__
    with tempfile.TemporaryDirectory() as folder:
        cases = {
            f"{loss_type}/{name}": run_case(folder, loss_type, settings)
            for loss_type in ("grpo", "dapo", "dr_grpo")
            for name, settings in VARIANTS.items()
        } | {name: run_case(folder, *case) for name, case in OTHER_LOSSES.items()}
    assert all(math.isfinite(case["loss"]) for case in cases.values())
    batch = {
        "max_completion_tokens": MAX_COMPLETION_TOKENS,
        "group_size": GROUP_SIZE,
        "lengths": LENGTHS,
        "truncated": TRUNCATED,
        "rewards": REWARDS,
        **fixed_logprobs(),
    }
    origin = {
        "made_by": "tests/unit/algorithms/make_trl_golden.py",
        "trl": trl.__version__,
        "functions": ["GRPOTrainer._generate_and_score_completions", "GRPOTrainer._compute_loss"],
        "torch": torch.__version__,
    }
    document = {"origin": origin, "batch": batch, "cases": cases}
    # One line a case keeps the file readable in a diff.
    lines = [f"{json.dumps(name)}: {json.dumps(case)}" for name, case in cases.items()]
    text = json.dumps({**document, "cases": "CASES"}, indent=1).replace('"CASES"', "{\n" + ",\n".join(lines) + "\n}")
    GOLDEN.write_text(text + "\n", encoding="utf-8")
    assert json.loads(text) == document


if __name__ == "__main__":
    main()
