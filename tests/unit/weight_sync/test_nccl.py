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
