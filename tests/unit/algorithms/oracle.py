"""The GRPO losses written a second time, from the papers: plain floats, one sequence and one token at a time."""

import math


def oracle_loss(kind, sequences, *, max_tokens, low, high, beta=0.0, kl="k3"):
    """`sequences`: dicts of policy, old, ref, importance (lists), advantage, kept. The loss of one whole step."""
    num_tokens = sum(len(sequence["policy"]) for sequence in sequences if sequence["kept"])
    total = 0.0
    for sequence in sequences:
        if not sequence["kept"] or not sequence["policy"]:
            continue
        terms = []
        for policy, old, ref, importance in zip(
            sequence["policy"], sequence["old"], sequence["ref"], sequence["importance"], strict=True
        ):
            ratio, advantage = math.exp(policy - old), sequence["advantage"]
            clipped = min(max(ratio, 1 - low), 1 + high)
            gain = importance * min(ratio * advantage, clipped * advantage)
            quotient = math.exp(ref) / math.exp(policy)
            penalty = {"k1": -math.log(quotient), "k2": math.log(quotient) ** 2 / 2}.get(
                kl, quotient - math.log(quotient) - 1
            )
            terms.append(-gain + beta * penalty)
        share = {
            "grpo": sum(terms) / len(terms) / len(sequences),
            "dapo": sum(terms) / num_tokens,
            "dr_grpo": sum(terms) / max_tokens / len(sequences),
        }
        total += share[kind]
    return total
