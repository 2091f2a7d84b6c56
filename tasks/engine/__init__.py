"""The run engine's pure core: what to do next (planners), how to do a step (executors). No Django, no I/O.

`planner.py` names the outcomes; `delegation.py` plans tasks; `executors/` do one kind of step each;
`ports.py` says what they ask of the world.
"""
