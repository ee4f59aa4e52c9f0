"""The learning rate of every optimizer step: linear warm-up, then a cosine down to a minimum."""

import math


def learning_rate(step: int, num_steps: int, peak: float, minimum: float, warmup_share: float) -> float:
    """Return the learning rate of optimizer step `step` (from 0) out of `num_steps`.

    It rises linearly to `peak` over the first ceil(warmup_share * num_steps) steps. Then it falls along half a
    cosine to exactly `minimum` at the last step, and stays there. The warm-up starts from 0, not from `minimum`.

    Difference from transformers' `cosine_with_min_lr`: every step has the rate that transformers gives to the
    next one. Its first step has rate 0, so it trains nothing, and its last one is still above the minimum.
    """
    num_warmup_steps = math.ceil(warmup_share * num_steps)
    done = min(step + 1, num_steps)
    if done < num_warmup_steps:
        return peak * done / num_warmup_steps
    progress = (done - num_warmup_steps) / max(1, num_steps - num_warmup_steps)
    return minimum + (peak - minimum) * (1 + math.cos(math.pi * progress)) / 2
