"""A plan that fits the card: how many tokens a pass takes, what is recomputed, and the peak of memory to expect."""

from medslm.train.memory.card import arithmetic, budget, limit
from medslm.train.memory.choice import MemoryPlan, Wishes, least, plan
from medslm.train.memory.shape import Linear, Shape

__all__ = ["Linear", "MemoryPlan", "Shape", "Wishes", "arithmetic", "budget", "least", "limit", "plan"]
