"""The mathematics of a training step, as pure functions and small classes without a model.

`advantages/` and `losses/` hold one method a file behind a registry; `step_plan` applies the first to a batch of
groups, `learner/rl.py` the second to the learner's logprobs.
"""
