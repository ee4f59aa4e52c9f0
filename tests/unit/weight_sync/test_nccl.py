import subprocess
import sys

import torch

from vlaa_ray.weight_sync.manifest import Manifest
from vlaa_ray.weight_sync.nccl import join_info, update_info


def test_messages_to_engines_are_what_vllm_takes():
    from vllm.distributed.weight_transfer.nccl_common import NCCLWeightTransferInitInfo
    from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo, NCCLWeightTransferUpdateInfo

    joined = NCCLWeightTransferInitInfo(**join_info(address="a", port=1, rank=3, num_ranks=5, bucket_bytes=1 << 20))
    assert (joined.rank_offset, joined.world_size, joined.packed) == (3, 5, True)
    sender = NCCLTrainerInitInfo(
        master_address="a", master_port=1, world_size=5, rank=0, packed_buffer_size_bytes=1 << 20
    )
    for name in (
        "packed",
        "packed_buffer_size_bytes",
        "packed_num_buffers",
    ):  # else both sides cut the stream differently
        assert getattr(joined, name) == getattr(sender, name)
    manifest = Manifest.of([("embed", torch.zeros(2, 3)), ("head", torch.zeros(4, dtype=torch.bfloat16))])
    told = NCCLWeightTransferUpdateInfo(**update_info(manifest))
    assert (told.names, told.dtype_names, told.shapes) == (["embed", "head"], ["float32", "bfloat16"], [[2, 3], [4]])


def test_the_sender_leaves_out_what_vllm_sets_for_its_own_processes():
    """In a process of its own; without GPUs the sender fails only once all is imported."""
    code = (
        "import os, sys, torch; before = dict(os.environ)\n"
        "from vlaa_ray.weight_sync.manifest import Manifest\n"
        "from vlaa_ray.weight_sync.nccl import NcclSender\n"
        "try: NcclSender(Manifest(()), address='127.0.0.1', port=1, num_engine_ranks=0, bucket_bytes=1)\n"
        "except (RuntimeError, ValueError, AssertionError, OSError) as error: print(type(error).__name__, error)\n"
        "assert 'vllm.distributed.weight_transfer.nccl_engine' in sys.modules\n"
        "names = {name for name in os.environ if os.environ[name] != before.get(name)}\n"
        "assert not {name for name in names if 'TORCH' in name or 'TRITON' in name}, names\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-1500:]
