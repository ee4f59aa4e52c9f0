"""The six steps that made VLAA-Thinking (arXiv 2504.11468, section 2), for anyone's images and questions.

metadata -> caption -> distill -> rewrite -> verify -> split. The steps are pure functions of a sample and of what the
teachers (models behind an API) reply; replies are recorded before they are used, so a run that was killed goes on where
it was. `actors/drivers/curation.py` streams samples through them on Ray Data.
"""
