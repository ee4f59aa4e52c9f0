"""The whole configuration of a run: one frozen tree, with every default in one place and all rules checked before Ray.

    load_config("configs/quickstart.yaml", ["run.num_steps=3"]) -> GrpoConfig

An unknown key is an error that names the nearest key. All problems are reported in one ConfigError. The resolved tree
is written to the run folder; loading it gives an equal tree. Suffixes of names are units, and `num_` means a count.
"""

from vlaa_ray.config.alarms import AlarmsSection
from vlaa_ray.config.base import AnyConfig, Bundle, FleetConfig, TrainingConfig
from vlaa_ray.config.benchmarks import BenchmarkSection, Style
from vlaa_ray.config.curation import (
    PAPER_CUES,
    SCRIPTED,
    BudgetSection,
    CaptionSection,
    CurationConfig,
    CurationSourceSection,
    PerplexitySection,
    RewriteSection,
    SplitSection,
    StepSection,
    StepsSection,
    TeacherSection,
)
from vlaa_ray.config.engines import RolloutSection, SamplerSection
from vlaa_ray.config.evaluation import (
    ConditionsSection,
    EndpointSection,
    EvalConfig,
    EvalRolloutSection,
    GrpoEvalSection,
    JudgeSection,
)
from vlaa_ray.config.experiment import (
    ArmSection,
    ArmStageSection,
    ExperimentConfig,
    RoomSection,
    StageSection,
    Varied,
)
from vlaa_ray.config.files import config_kind, dump_config, load_config
from vlaa_ray.config.grpo import GRPO_PRESETS, GrpoSection, KlSection
from vlaa_ray.config.learner import LearnerSection, OptimSection
from vlaa_ray.config.pools import NodesSection, PoolSection
from vlaa_ray.config.rewards import OpenEndedSection, RewardsSection, ServiceSection, VerifierSection
from vlaa_ray.config.runs import (
    GrpoConfig,
    RewardModelConfig,
    RewardModelSection,
    SftConfig,
    SupervisedConfig,
)
from vlaa_ray.config.sections import (
    PAPER_SYSTEM_PROMPT,
    REFLECTION_PHRASES,
    CheckpointSection,
    DataSection,
    DeadlinesSection,
    EvalSection,
    FetchSection,
    ModelSection,
    NamedSection,
    RaySection,
    RunSection,
    SamplesSection,
    Section,
    Source,
    SourceSection,
    TrackingSection,
    WeightSyncSection,
)
from vlaa_ray.config.serving import ServeConfig
from vlaa_ray.config.supervised import EarlyStoppingSection, SftEvalSection, SftSection, SupervisedRunSection
from vlaa_ray.config.yaml_text import parse_yaml

__all__ = [
    "GRPO_PRESETS",
    "PAPER_CUES",
    "PAPER_SYSTEM_PROMPT",
    "REFLECTION_PHRASES",
    "SCRIPTED",
    "AlarmsSection",
    "AnyConfig",
    "ArmSection",
    "ArmStageSection",
    "BenchmarkSection",
    "BudgetSection",
    "Bundle",
    "CaptionSection",
    "CheckpointSection",
    "ConditionsSection",
    "CurationConfig",
    "CurationSourceSection",
    "DataSection",
    "DeadlinesSection",
    "EarlyStoppingSection",
    "EndpointSection",
    "EvalConfig",
    "EvalRolloutSection",
    "EvalSection",
    "ExperimentConfig",
    "FetchSection",
    "FleetConfig",
    "GrpoConfig",
    "GrpoEvalSection",
    "GrpoSection",
    "JudgeSection",
    "KlSection",
    "LearnerSection",
    "ModelSection",
    "NamedSection",
    "NodesSection",
    "OpenEndedSection",
    "OptimSection",
    "PerplexitySection",
    "PoolSection",
    "RaySection",
    "RewardModelConfig",
    "RewardModelSection",
    "RewardsSection",
    "RewriteSection",
    "RolloutSection",
    "RoomSection",
    "RunSection",
    "SamplerSection",
    "SamplesSection",
    "Section",
    "ServeConfig",
    "ServiceSection",
    "SftConfig",
    "SftEvalSection",
    "SftSection",
    "Source",
    "SourceSection",
    "SplitSection",
    "StageSection",
    "StepSection",
    "StepsSection",
    "Style",
    "SupervisedConfig",
    "SupervisedRunSection",
    "TeacherSection",
    "TrackingSection",
    "TrainingConfig",
    "Varied",
    "VerifierSection",
    "WeightSyncSection",
    "config_kind",
    "dump_config",
    "load_config",
    "parse_yaml",
]
