"""Several processes that train as one: ``torchrun --nproc_per_node=N train.py ...`` (docs/DISTRIBUTED.md).

Each process takes an equal share of every global batch. The run equals that of one process up to the rounding of sums.
These parts couple the items of a batch, and join the shares as follows:

- T of ``batch`` conditioning is made from B_t's pooled state, a mean over the batch's sketches or photos:
  :func:`mean` in ``SpLIP._encode``, forward and backward;
- the prototypes are a running mean of that joined state, so they agree, too;
- the contrastive loss compares every sketch of the batch with every photo: :func:`join` its features;
- every other loss is a mean over triplets (the class loss over images), with the hinges inside the mean. Shares are
  equal, so a mean over processes is the mean over the batch: :func:`average_gradients`, and :func:`mean` for the log.

Nothing else couples items: mu and the permutation belong to a triplet, T of ``instance`` conditioning to an image,
LayerNorm to a token, and B_v and B_vt read text only.

Without torchrun there is one process, every function here returns what it was given, and torch.distributed is
neither imported nor initialised.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, redirect_stdout
from typing import Any, Iterable, Iterator, Optional

import torch
from torch import Tensor

_rank, _world = 0, 1


def rank() -> int:
    """This process's number, from 0."""
    return _rank


def world() -> int:
    """How many processes work together."""
    return _world


def is_main() -> bool:
    """Whether this process is the one that writes and prints."""
    return _rank == 0


# ------------------------------------------------------------------ start and end


@contextmanager
def processes() -> Iterator[None]:
    """Put this around a whole program: it works together with the other processes of torchrun, if there are any.

    Only process 0 prints. An error in one process ends all: torchrun stops the others. The first process that fails
    shows its error. The others, which mostly fail because of it, print one line.
    """
    global _rank, _world
    if _launched() == 1:
        yield
        return
    import torch.distributed as dist

    # Its default arguments hold the group that exists when it is imported. An optimizer's first step would import it
    # (by torch._dynamo), gloo's threads would outlive destroy_process_group, and a process would now and then abort at
    # its very end ("terminate called without an active exception").
    import torch.distributed.nn.functional

    local = int(os.environ["LOCAL_RANK"])
    if local < torch.cuda.device_count():  # else the run may be for the CPU, which `check_launch` checks
        torch.cuda.set_device(local)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store, _rank, _world = next(dist.rendezvous("env://"))
    dist.init_process_group(backend, store=store, rank=_rank, world_size=_world)
    try:
        with redirect_stdout(sys.stdout if is_main() else open(os.devnull, "w")):
            yield
        barrier()
    except Exception as error:
        name = f"process {_rank} of {_world}"
        if not _is_first_to_fail(store):
            raise SystemExit(f"{name} stops, since another one has failed ({type(error).__name__})") from None
        print(f"{name} failed:", file=sys.stderr)
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler

        get_error_handler().record_exception(error)  # torchrun repeats it at the end
        raise
    dist.destroy_process_group()
    _rank, _world = 0, 1


OTHER_LAUNCHERS = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS")


def check_launch(cuda: bool) -> None:
    """Refuse processes that could not work together.

    Args:
        cuda: whether the run uses GPUs.

    Raises:
        ValueError: torchrun started a program that does not enter :func:`processes`, or more processes on
            this machine than it has GPUs.
    """
    if _launched() > _world:
        raise ValueError(
            f"torchrun started {_launched()} processes, but this program would run the same training in each: "
            "put `with splip.common.distributed.processes():` around its main function"
        )
    alone = [name for name in OTHER_LAUNCHERS if os.environ.get(name, "1") not in ("", "1")]
    if alone and _launched() == 1:
        raise ValueError(
            f"{alone[0]} is {os.environ[alone[0]]}: srun or mpirun would run the same training in each process. Start "
            "torchrun in one task of each machine instead (docs/DISTRIBUTED.md)"
        )
    here = int(os.environ["LOCAL_WORLD_SIZE"]) if _world > 1 else 1
    if cuda and here > max(torch.cuda.device_count(), 1):
        raise ValueError(
            f"torchrun started {here} processes on this machine, which has {torch.cuda.device_count()} GPUs: use one "
            "process for each GPU (--nproc_per_node), or the CPU (USE_CUDA False)"
        )


def _launched() -> int:
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def _is_first_to_fail(store) -> bool:
    try:
        return store.add("splip/failures", 1) == 1
    except RuntimeError:  # the process that held the store has ended
        return False


def barrier() -> None:
    """Wait until every process has made this call."""
    mean(torch.zeros(1))


@contextmanager
def main_first() -> Iterator[None]:
    """Run the body in the first process of each machine, then in the others: for work that writes a file (download)."""
    first = int(os.environ.get("LOCAL_RANK", 0)) == 0
    if not first:
        barrier()
    yield
    if first:
        barrier()


# ------------------------------------------------------------------ training


def mean(x: Tensor) -> Tensor:
    """Mean of a tensor over the processes; any shape, computed in float32.

    Differentiable: with p = mean_r p_r and L = mean_r L_r, dL/dp_r = 1/N mean_k dL_k/dp. So the backward pass
    is the same mean; the 1/N comes with :func:`average_gradients`. Every process must call it, in the same order.
    """
    return x if _world == 1 else _Mean.apply(x)


def join(x: Tensor) -> Tensor:
    """The shares of a batch in the order of the processes: (b, ...) -> (N b, ...); all shares are of one size.

    Differentiable: every process computes the same loss L of the whole batch. It must give dL/dx of its own share to
    :func:`average_gradients`, which divides by N. So the backward pass is that share of the gradient, times N.
    """
    return x if _world == 1 else _Join.apply(x)


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        import torch.distributed as dist

        sent = x.float() if x.is_floating_point() else x  # gloo of older torch has no bfloat16
        shares = [torch.empty_like(sent, memory_format=torch.contiguous_format) for _ in range(_world)]
        dist.all_gather(shares, sent.contiguous())
        return torch.cat(shares).to(x.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return _world * grad.chunk(_world)[_rank]


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return _mean(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return _mean(grad)


def _mean(x: Tensor) -> Tensor:
    import torch.distributed as dist

    total = x.detach().to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return (total / _world).to(x.dtype)


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace every gradient by its mean over the processes, in one message.

    The same parameters must have one in every process; the config decides which.
    """
    if _world == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    joined = _mean(torch.cat([g.flatten() for g in gradients]))
    for gradient, part in zip(gradients, joined.split([g.numel() for g in gradients])):
        gradient.copy_(part.view_as(gradient))


def broadcast_tensors(tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors in place with those of process 0."""
    if _world > 1:
        import torch.distributed as dist

        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def broadcast(value: int) -> int:
    """Process 0's value, in every process."""
    held = torch.tensor(value)
    broadcast_tensors([held])
    return int(held)


def require_same(value: int, name: str) -> None:
    """Raise ValueError, naming every process's value, if they differ."""
    values = gather(torch.tensor([value]), _world).tolist()
    if len(set(values)) > 1:
        raise ValueError(f"{name} differs between the processes: {values}")


# ------------------------------------------------------------------ work on a list


def shard_slice(count: int, multiple: int = 1, process: Optional[int] = None) -> slice:
    """The part of a list of ``count`` items that belongs to ``process`` (default: this one), in the list's order.

    Parts start at multiples of ``multiple``. Their sizes differ by about one multiple; with few items some are empty.
    """
    process, units = _rank if process is None else process, -(-count // multiple)
    start, stop = (min(count, units * r // _world * multiple) for r in (process, process + 1))
    return slice(start, stop)


def shard(items: Any, multiple: int = 1) -> Any:
    """This process's share of a list or tensor; if it is empty, the first item, so that there is always a result."""
    part = shard_slice(len(items), multiple)
    return items[part] if part.start < part.stop else items[:1]


def gather(rows: Tensor, count: int, multiple: int = 1) -> Tensor:
    """Results of all processes, in the order of the list: (count, ...).

    Args:
        rows: this process's results for ``shard(items, multiple)`` of ``count`` items; on the CPU.
    """
    if _world == 1:
        return rows
    import torch.distributed as dist

    whole, part = rows.new_empty(count, *rows.shape[1:]), shard_slice(count, multiple)
    whole[part] = rows[: part.stop - part.start]
    for process in range(_world):
        theirs = whole[shard_slice(count, multiple, process)]
        if len(theirs):
            dist.broadcast(theirs, src=process)
    return whole
