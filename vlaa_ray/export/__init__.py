"""A trained model as a Hugging Face folder that transformers and vLLM load as it is, with a model card.

`files.export_model` writes the folder, `template` its chat template, `card` its README.md, and `hub` uploads it.
"""
