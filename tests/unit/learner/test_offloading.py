"""Memory that is moved out and back under living tensors; the witness is a training that never moved."""

import pytest
import torch

from vlaa_ray.learner import offloading
from vlaa_ray.learner.offloading import Offloaded, tensors_of


def trained(journeys: bool) -> tuple[list[torch.Tensor], int]:
    """A small model after 4 steps of AdamW, and the bytes that were left of it on the way."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.BatchNorm1d(64), torch.nn.Linear(64, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    offloaded, left = Offloaded(torch.device("cpu")), -1
    for step in range(4):
        model(torch.randn(8, 64, generator=torch.Generator().manual_seed(step))).square().mean().backward()
        if journeys and step % 2:
            offloaded.move_out(model, optimizer)  # with gradients
            offloaded.move_out(model, optimizer)  # nothing is left to move
            left = sum(tensor.untyped_storage().nbytes() for tensor in tensors_of(model, optimizer))
            offloaded.move_back()
        optimizer.step()
        optimizer.zero_grad()
    return [*model.state_dict().values(), *tensors_of(optimizer)], left


@pytest.mark.parametrize("piece_bytes", [1 << 28, 100])
def test_training_goes_on_bit_by_bit_after_two_journeys(monkeypatch, piece_bytes) -> None:
    monkeypatch.setattr(offloading, "_PIECE_BYTES", piece_bytes)
    stayed, _ = trained(False)
    moved, left = trained(True)
    assert left == 0 and len(stayed) == len(moved) > 20
    assert all(torch.equal(one, other) for one, other in zip(stayed, moved, strict=True))


def test_views_stay_views_of_the_same_memory() -> None:
    flat = torch.arange(10.0)
    layer = torch.nn.Linear(2, 2, bias=False)
    layer.weight.data = flat[2:6].view(2, 2)
    offloaded = Offloaded(torch.device("cpu"))
    offloaded.move_out(layer)
    assert flat.untyped_storage().nbytes() == 0 and flat.shape == (10,)
    offloaded.move_back()
    flat[2] = 70.0
    assert layer.weight.tolist() == [[70.0, 3.0], [4.0, 5.0]] and flat.tolist()[6:] == [6.0, 7.0, 8.0, 9.0]


def test_tensors_are_found_in_attributes_of_tensors_and_once() -> None:
    shard, layer = torch.ones(3), torch.nn.Linear(1, 1, bias=False)
    layer.weight.ds_tensor = shard
    layer.weight.grad = torch.zeros(1, 1)
    found = list(tensors_of(layer, [layer, {"again": (layer.weight, shard)}], None))
    assert {id(tensor) for tensor in found} == {id(one) for one in (layer.weight, layer.weight.grad, shard)}
    assert len(found) == 3


def test_memory_of_another_device_stays() -> None:
    layer = torch.nn.Linear(2, 2)
    Offloaded(torch.device("meta")).move_out(layer)
    assert layer.weight.untyped_storage().nbytes() == 16
