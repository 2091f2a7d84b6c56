"""What only the collector of garbage would find: a voice process lets it look at everything once in a hundred calls,
so what a turn leaves for it is memory that grows while calls go on."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def garbage(*modules: str) -> Iterator[Counter[str]]:
    """Count by type what the block leaves for the collector, of the modules whose names begin so."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    try:
        yield found
        before = _living(modules)
        gc.collect()
        found.update(before - _living(modules))
    finally:
        gc.enable()


def _living(modules: tuple[str, ...]) -> Counter[str]:
    # Not `gc.DEBUG_SAVEALL`: it does not tell of circles with a generator in them.
    names = (f"{type(thing).__module__}.{type(thing).__name__}" for thing in gc.get_objects())
    return Counter(name for name in names if name.startswith(modules))
