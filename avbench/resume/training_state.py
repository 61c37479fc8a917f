"""Everything that training goes on from: what a run in mid-task needs to continue bit for bit.

Valid between two steps, and between two tasks. Where in a task's clips the run stands follows from the
counters of steps and from the generators' states at the beginning of the pass.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from avbench.errors import RunError
from avbench.resume.method_state import load_state, state_dict_of

if TYPE_CHECKING:
    from avbench.training import ContinualPretraining


def training_state(strategy: ContinualPretraining) -> dict[str, Any]:
    """Return model, matching module, optimiser, method, generators and counters of steps.

    Tensors and plain data only, for `torch.save` and `torch.load(weights_only=True)`. The tensors are those
    of the run, not copies: save before going on.
    """
    return {
        "model": strategy.model.state_dict(),
        "matching": strategy.matching.state_dict() if strategy.method.uses_matching else None,
        "optimizer": strategy.optimizer.state_dict(),
        "method": state_dict_of(strategy.method, strategy),
        "randomness": strategy.randomness.state_dict(),
        "pass began": strategy.pass_began,
        "clock": _counters(strategy),
    }


def load_training_state(strategy: ContinualPretraining, state: dict[str, Any]) -> None:
    """Continue from `state`, as `training_state` returned it of a run with the same configuration.

    Args:
        strategy: freshly made, its method attached. `state` is left as it is.

    Raises RunError where the state is of another configuration.
    """
    try:
        strategy.model.load_state_dict(state["model"])
        if strategy.method.uses_matching:
            strategy.matching.load_state_dict(state["matching"])
        # Copied: the optimiser would go on working on the tensors it is given.
        strategy.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
    except (RuntimeError, ValueError) as error:
        raise RunError(f"the saved training is one of another configuration: {error}") from error
    # After the optimiser, whose groups a method may hold.
    load_state(strategy.method, state["method"], strategy)
    strategy.randomness.load_state_dict(state["randomness"])
    strategy.pass_began = state["pass began"]
    strategy.clock.__dict__.update(state["clock"])


def _counters(strategy: ContinualPretraining) -> dict[str, int]:
    return {name: value for name, value in vars(strategy.clock).items() if type(value) is int}
