"""Experiments: several ways to train (arms), each made of ordinary runs, trained with several seeds and compared.

    plan = plan_experiment(config)      # arms -> runs; runs that arms share are there once
    outcome = read_outcome(plan)        # what the runs' files hold so far
    result = result_of(plan, outcome)   # means, intervals, tables: the content of result.json

Nothing here starts a process; `actors/drivers/experiments.py` runs the plan.
"""
