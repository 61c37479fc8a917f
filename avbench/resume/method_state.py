"""A method's state as tensors and plain data, found by walking its attributes: nothing can be left out.

Every attribute is described by a small dict with its kind (`avbench.resume.state_saving`) and rebuilt in a
freshly made and attached method with the same options (`avbench.resume.state_loading`). What belongs to the
run (backbone, matching module, optimiser, settings, generators) is named, not stored: it comes back as the
same object of the new run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from avbench.errors import RunError
from avbench.resume.state_loading import Loading
from avbench.resume.state_saving import Node, Saving

if TYPE_CHECKING:
    from avbench.method import Method
    from avbench.training import ContinualPretraining


def state_dict_of(method: Method, strategy: ContinualPretraining) -> Node:
    """Return what `method` keeps between steps, as tensors and plain data.

    It goes through `torch.save` and `torch.load(weights_only=True)`. The tensors are the method's own, not
    copies: save before going on. Gradients are not state: a step starts by clearing them.

    Raises RunError, naming the path, at something that cannot be saved.
    """
    saving = Saving(type(method), strategy)
    return {
        "class": type(method).__name__,
        "attributes": {name: saving.node(name, value) for name, value in vars(method).items()},
    }


def load_state(method: Method, state: Node, strategy: ContinualPretraining) -> None:
    """Give `method` the state that `state_dict_of` returned, bit for bit.

    Args:
        method: made with the options of the one that was saved, and attached to `strategy`.
        state: left as it is; tensors are copied.
        strategy: of the new run. Where a frozen copy of the backbone was made on the way, it is made anew
            from the strategy's model and given the saved weights.

    Raises RunError, naming the path, where the method cannot take the state.
    """
    if state["class"] != type(method).__name__:
        raise RunError(f"the saved state is one of {state['class']}, not of {type(method).__name__}")
    loading = Loading(type(method), strategy)
    there = method.__dict__
    loaded = {name: loading.value(name, node, there.get(name)) for name, node in state["attributes"].items()}
    there.clear()
    there.update(loaded)
