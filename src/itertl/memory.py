"""Memory that was freed goes back to the system, so that one stage does not hold what another needs.

glibc keeps freed blocks in its arenas: after training 0.5 billion parameters a process held 4.3 GB, of which 1.8 GB
came back by one ``malloc_trim``. Fixed thresholds from which it maps blocks one by one would cost a fifth of the time.
"""

import atexit
import ctypes
import functools
import gc
import sys


@functools.cache
def keep_imports() -> None:
    """Leave what is there now out of all later collections of garbage; only the first call does anything.

    Called when libraries are imported and no model is there yet: torch and transformers make 350,000 objects at
    import, none of which a collection frees, and each collection took a quarter of a second to look through them.
    They are put back when the interpreter ends, whose last collection frees what pyslang would report as leaked.
    """
    gc.freeze()
    atexit.register(gc.unfreeze)


def give_back() -> None:
    """Collect garbage, empty PyTorch's cache of GPU memory where it is in use, and trim glibc's arenas; on other
    systems without the last."""
    gc.collect()
    torch = sys.modules.get("torch")  # not imported for this
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
