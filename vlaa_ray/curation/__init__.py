"""The six steps that made the VLAA-Thinking data (arXiv 2504.11468, section 2), for your own images and questions.

metadata -> caption -> distill -> rewrite -> verify -> split. A step is a pure function of a sample and the replies of
the teachers, which are models behind an API. Replies are recorded before they are used, so a killed run continues
where it stopped. `actors/drivers/curation.py` streams samples through the steps on Ray Data.
"""
