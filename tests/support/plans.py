"""The dimensions and the configs that plans of resources and memory are tested with."""

from vlaa_ray.config import GrpoConfig
from vlaa_ray.models.dimensions import KNOWN_MODELS

QWEN_3B = KNOWN_MODELS["Qwen/Qwen2.5-VL-3B-Instruct"]
QWEN_7B = KNOWN_MODELS["Qwen/Qwen2.5-VL-7B-Instruct"]
TINY = {
    "model_type": "qwen2_5_vl",
    "text_config": {
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 300,
        "tie_word_embeddings": True,
    },
    "vision_config": {
        "depth": 2,
        "hidden_size": 96,
        "intermediate_size": 256,
        "num_heads": 4,
        "out_hidden_size": 128,
    },
}


def make(**sections: dict) -> GrpoConfig:
    return GrpoConfig.model_validate({"run": {"name": "x", "num_steps": 1}, "model": {"path": "m"}, **sections})
