"""The language of conditions and templates: JSON values, paths, comparisons, a few functions. Pure.

It is our own and small on purpose: whoever edits a workflow may write anything here, so there is no attribute,
no call but of the functions listed, no loop but over a list that is there, and every size is bounded.
"""

from .evaluation import evaluate
from .parser import Expression, parse
from .values import ExpressionError

__all__ = ["Expression", "ExpressionError", "evaluate", "parse"]
