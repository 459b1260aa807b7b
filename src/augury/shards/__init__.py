"""Generates and translates millions of images as shards that any worker can make, checks them, and scores them from moments."""

from augury.shards.adding_moments import add_moments
from augury.shards.engines import ENGINES
from augury.shards.making import Job, make_shard
from augury.shards.manifests import finished
from augury.shards.merging import MANIFEST, MOMENTS, Merged, merge, stored_moments
from augury.shards.moments import distance_to, feature_extractor
from augury.shards.plan import PLAN, ShardPlan, Share, shard_name, shard_size
from augury.shards.store import ShardStore, open_store
from augury.shards.work import ShardOptions, ShardWork, generate_shards, translate_shards

__all__ = [
    "ENGINES",
    "MANIFEST",
    "MOMENTS",
    "PLAN",
    "Job",
    "Merged",
    "ShardOptions",
    "ShardPlan",
    "ShardStore",
    "ShardWork",
    "Share",
    "add_moments",
    "distance_to",
    "feature_extractor",
    "finished",
    "generate_shards",
    "make_shard",
    "merge",
    "open_store",
    "shard_name",
    "shard_size",
    "stored_moments",
    "translate_shards",
]
