"""The config of a server that answers questions with a trained model: `vlaa-ray serve`, or `args` of a Serve file."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from vlaa_ray.config.sections import MIN_IMAGE_PIXELS, FetchSection, RaySection, Section

API_KEY_ENV = "VLAA_RAY_API_KEY"
"""The environment variable with the key that requests carry, unless `http.key_env` names another one."""
_MOST_REPLICAS = 1000


class PolicySection(Section):
    """The model that answers, and what every prompt gets from its training."""

    model: str = Field(min_length=1)
    """Model to serve: a folder, a run or its name, a checkpoint, a hub id, or `builtin` for the small built-in one."""
    name: str | None = Field(None, min_length=1, max_length=200)
    """Name that requests call the model by; null takes the model's own name, such as `quickstart-step_000060`."""
    runs_dir: str = "runs"
    """Folder in which the name of a run is looked for."""
    system_prompt: str | None = None
    """System prompt to use in place of the one that the model was trained with; null keeps that one."""
    min_pixels: int | None = Field(None, ge=MIN_IMAGE_PIXELS)
    """Images with fewer pixels are enlarged to this number; null takes the number of the training."""
    max_pixels: int | None = Field(None, ge=MIN_IMAGE_PIXELS)
    """Images with more pixels are reduced to this number; null takes the number of the training."""
    separate_reasoning: bool = True
    """Send the thought as `reasoning` and the answer as `content`; false sends the text as the model wrote it."""


class HttpSection(Section):
    """The address that the server listens on, and the key that requests carry."""

    host: str = "127.0.0.1"
    """Address to listen on. One that other machines can reach needs a key."""
    port: int = Field(8000, ge=1, le=65535)
    """Port to listen on."""
    ui_port: int = Field(7860, ge=1, le=65535)
    """Port of the page of `--ui`, which only this machine reaches: it asks with the server's key."""
    key_env: str = API_KEY_ENV
    """Name of the environment variable with the key that requests must carry (`Authorization: Bearer KEY`)."""


class LimitsSection(Section):
    """What one request may ask for; more is refused with a status from 400 to 499, and the body says why."""

    max_body_bytes: int = Field(64 << 20, ge=1024)
    """Bytes of the body of a request."""
    max_images: int = Field(8, ge=0, le=64)
    """Images in all messages together; 0 takes none."""
    max_image_bytes: int = Field(20_000_000, ge=1, le=20_000_000)
    """Bytes of one image file, after base64."""
    max_image_pixels: int = Field(32_000_000, ge=1, le=64_000_000)
    """Pixels (width x height) of one image as it is sent, before it is reduced to `policy.max_pixels`."""
    max_text_chars: int = Field(32_000, ge=1)
    """Characters of all texts of a request together."""
    max_messages: int = Field(64, ge=1)
    """Messages of a request."""
    max_completion_tokens: int = Field(2048, ge=1)
    """Tokens of an answer; a request that names no number gets this one, where the context has room for it."""
    max_choices: int = Field(8, ge=1)
    """Answers to one request (`n`)."""


class ReplicasSection(Section):
    """Copies of the model, whose number follows the load, and what each of them takes."""

    min: int = Field(1, ge=1, le=_MOST_REPLICAS)
    """Replicas without load."""
    max: int = Field(1, ge=1, le=_MOST_REPLICAS)
    """Replicas at most."""
    target_requests: float = Field(8, gt=0)
    """Requests in flight for each replica that the number of replicas is made for."""
    max_requests: int = Field(64, ge=1)
    """Requests in flight of one replica at most; further ones wait for a free replica."""
    max_waiting: int = Field(256, ge=1)
    """Requests that wait for a free replica; a further one is refused with status 503."""
    upscale_delay_s: float = Field(10, ge=0)
    """Seconds of too much load before a replica is added."""
    downscale_delay_s: float = Field(300, ge=0)
    """Seconds of too little load before a replica is taken away."""
    cpus: float = Field(1, gt=0)
    """CPUs of each replica."""
    gpus: int = Field(0, ge=0)
    """GPUs of each replica, over which the model is split; 0 runs it on the CPU."""

    @model_validator(mode="after")
    def _limits(self) -> ReplicasSection:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max})")
        return self


class EngineSection(Section):
    """The vLLM engine of each replica."""

    dtype: Literal["fp32", "bf16"] | None = None
    """Number format of the weights; null takes bf16 on GPUs and fp32 on a CPU."""
    max_model_tokens: int | None = Field(None, ge=16)
    """Tokens of prompt and answer together; null takes what the model can."""
    max_num_seqs: int = Field(64, ge=1)
    """Answers that one replica writes at the same time."""
    kv_cache_bytes: int = Field(512 << 20, ge=1 << 20)
    """Size of the KV cache on a CPU."""
    gpu_memory_share: float = Field(0.9, gt=0, lt=1)
    """Share of a GPU's memory that the engine takes."""
    stream_interval_ms: float = Field(50, ge=0)
    """Milliseconds for which parts of a streamed answer are collected before they are sent together."""
    start_timeout_s: float = Field(1200, gt=0)
    """Seconds within which the first replica must be ready."""


class ServeConfig(Section):
    """A server: `vlaa-ray serve --model MODEL`."""

    command: ClassVar[str] = "serve"
    """The `vlaa-ray` command that takes a config of this kind."""
    policy: PolicySection
    """The model that answers, and what every prompt gets from its training."""
    http: HttpSection = HttpSection()
    """The address that the server listens on, and the key that requests carry."""
    limits: LimitsSection = LimitsSection()
    """What one request may ask for; more is refused with a status from 400 to 499, and the body says why."""
    replicas: ReplicasSection = ReplicasSection()
    """Copies of the model, whose number follows the load, and what each of them takes."""
    engine: EngineSection = EngineSection()
    """The vLLM engine of each replica."""
    fetch: FetchSection = FetchSection()
    """Rules for images that records name by URL."""
    ray: RaySection = RaySection()
    """The Ray cluster that the run starts or joins."""
    request_timeout_s: float = Field(600, gt=0)
    """Seconds within which a streamed answer must begin, and any other be whole; the wait for a replica counts."""
    drain_s: float = Field(120, gt=0)
    """Seconds that answers in flight have to end after SIGTERM."""
