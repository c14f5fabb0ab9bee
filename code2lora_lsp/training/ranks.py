"""One single-threaded process per core: launching them, and what they say to one another."""

import dataclasses
import os
import socket
import subprocess
import sys

import torch
import torch.distributed as dist
from torch import Tensor

# One thread per process; malloc keeps memory instead of mapping and zeroing it anew each step.
_RANK_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
    "MALLOC_TOP_PAD_": str(1 << 27),
}


@dataclasses.dataclass(frozen=True)
class Ranks:
    """This process's place among ``count``."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and keeps the clock."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum in place over all processes."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensor of every process, in order of rank."""
        if self.count == 1:
            return [tensor]
        gathered = [torch.empty_like(tensor) for _ in range(self.count)]
        dist.all_gather(gathered, tensor)
        return gathered


ALONE = Ranks()


def join_ranks(device: torch.device) -> Ranks:
    """Join the group that the variables set by ``torchrun`` and ``launch_ranks`` name."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Ranks()
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Ranks(dist.get_rank(), count)


def launch_ranks(module: str, arguments: list[str], n_processes: int) -> int:
    """Run ``python -m module arguments`` once per rank; return the first exit status that is not 0.

    When one process fails the others are ended.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(n_processes)}
    environment = os.environ | _RANK_ENVIRONMENT | group
    command = [sys.executable, "-m", module, *arguments]
    processes = [
        subprocess.Popen(command, env=environment | {"RANK": str(rank)})
        for rank in range(n_processes)
    ]
    try:
        return max(process.wait() for process in processes)
    finally:
        for process in processes:
            process.terminate()
