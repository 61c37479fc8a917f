"""The memory account: kinds, each storage once."""

from __future__ import annotations

import torch
from torch import nn

from avbench.accounting import MemoryAccount, memory_account, step_residents, storage_bytes
from avbench.method import Method
from avbench.rehearsal import RehearsalMemory

FLOAT = 4


class Keeper(Method):
    """Keeps a memory, a slow copy, and the backbone itself."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = RehearsalMemory(5)


def trained(method: Method, clips) -> tuple[MemoryAccount, nn.Module, torch.optim.Optimizer]:
    model = nn.Linear(3, 2)
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    return memory_account(method=method, modules=[model], optimiser=optimiser), model, optimiser


def test_every_kind_is_counted(clips, pretraining):
    method = Keeper()
    strategy = pretraining(method)
    method.memory.add(clips(3))
    method.slow_copy = nn.Linear(10, 1)
    account, _, _ = trained(method, clips)
    assert account.parameters == account.gradients == 8 * FLOAT
    # Two moments of each parameter, and a counter for weight and bias.
    assert account.optimiser_state == (2 * 8 + 2) * FLOAT
    assert account.other_state == 11 * FLOAT
    assert account.rehearsal_memory == method.memory.nbytes > 0
    assert [name for name, _ in account.kinds][:2] == ["rehearsal memory", "other state"]
    assert sum(size for _, size in account.kinds) == (8 + 8 + 18 + 11) * FLOAT + method.memory.nbytes
    assert strategy.method is method


def test_what_belongs_to_the_model_is_not_the_methods(clips):
    method = Method()
    model = nn.Linear(3, 2)
    method.watched = model
    account = memory_account(
        method=method, modules=[model], optimiser=torch.optim.SGD(model.parameters(), lr=0.1)
    )
    assert account == MemoryAccount(0, 0, 8 * FLOAT, 0, 0)


def test_residents_of_a_step_leave_the_memory_out(clips, pretraining):
    method = Keeper()
    pretraining(method)
    method.memory.add(clips(2))
    method.mean = torch.zeros(6)
    model = nn.Linear(3, 2)
    resident, ignored = step_residents(
        method=method, modules=[model], optimiser=torch.optim.SGD(model.parameters(), lr=0.1)
    )
    assert storage_bytes(resident) == (8 + 6) * FLOAT
    assert {tensor.untyped_storage()._cdata for tensor in ignored} == {
        tensor.untyped_storage()._cdata for tensor in method.memory.contents.values()
    }


def test_a_full_memory_can_be_put_in():
    assert MemoryAccount(1, 2, 3, 4, 5).with_rehearsal_memory(9) == MemoryAccount(9, 2, 3, 4, 5)
