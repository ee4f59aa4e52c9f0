"""A learner of a given model, in a process of its own: `learner.py MODEL FOLDER`.

FOLDER/asked.json holds completions as the engine sampled them: [{"prompt": index, "token_ids": […]}, …]. Writes their
logprobs before and after some steps of SFT to FOLDER/learned.json, the losses, and the trained model to FOLDER/hf.
"""

import json
import sys
from pathlib import Path

import numpy as np

from vlaa_ray.config import SftConfig
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.learner.deepspeed import set_rank_environment
from vlaa_ray.models.batches import Row

NUM_STEPS = 12


def main() -> None:
    model, folder, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    set_rank_environment(0, 1, "127.0.0.1", port, cpu=True)
    from vlaa_ray.learner.sft import SftLearner

    optim = {"learning_rate": 3e-3, "warmup_share": 0.0}
    config = SftConfig.model_validate(
        {
            "run": {"name": "family", "num_steps": NUM_STEPS},
            "model": {"path": model, "max_pixels": 12544, "system_prompt": None},
            "learner": {"num_threads": 1, "optim": optim},
        }
    )
    learner, data = SftLearner(config, folder), BuiltinData("train")
    asked = json.loads((folder / "asked.json").read_text())

    def logprobs() -> list[list[float]]:
        rows = [
            Row(
                prompt_token_ids=learner.core.chat.expanded_token_ids(data[one["prompt"]]),
                images=data[one["prompt"]].images,
                completions=(np.asarray(one["token_ids"], dtype=np.int32),),
                sequence_ids=(number,),
            )
            for number, one in enumerate(asked)
        ]
        found = learner.core.logprobs(learner.core.batches(rows))
        return [found[number].tolist() for number in range(len(asked))]

    before = logprobs()
    prompts = [data[index] for index in range(16)]
    losses = [learner.update(prompts, step, NUM_STEPS)["policy/loss"] for step in range(NUM_STEPS)]
    learner.core.export(folder / "hf")
    (folder / "learned.json").write_text(json.dumps({"before": before, "after": logprobs(), "losses": losses}))


if __name__ == "__main__":
    main()
