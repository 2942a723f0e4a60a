"""MaskSDM's released configuration on one core: 256 sites, beside the formulation that expands weights per row and keeps all tokens.

    python benchmarks/bench_masksdm_forward.py [--rows 256] [--repeats 3]

The baseline is written from the spec's formulas: the tokeniser broadcasts a (61, 96, 192) weight over the rows, all 62 tokens
go through the encoder whether or not they are visible, queries, keys and values are three products, attention is spelled out,
and all 12,738 species are scored. Targets (issue 4): 5 times as fast with all visible, 12 times with 19 of 61, a quarter of the
memory. The encoder's products, the same in both where all is visible, bound the first: where copying the tokeniser's weights
is cheap beside them, the ratio stays below. Ours runs as `Model.forward` does, in `zoo.inference`; what its choice of kernels
gives is told apart. Peak memory is that of a process of its own, less what it holds before the forward pass.

Measured on one core of an AMD EPYC with AVX-512: 2.6 to 2.9 times (1.8 with the baseline's kernels), 10 times (5.8), 17 and 40 times
less memory. 256 rows with all visible are 60 GFLOP of matrix products in both; the spec's 5 is of a machine on which copying
the tokeniser's weights took longer than these.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from zoo_masksdm.network import masked

from zoo.inference import inference

FEATURES, SPECIES, VISIBLE = 61, 12_738, 19
TARGETS = {"all": 5.0, "some": 12.0, "memory": 4.0}


def expanded(network: masked.MaskSdm, x: Tensor, keep: Tensor) -> Tensor:
    """The spec's formulas, one by one."""
    embeddings = network.feature_tokenizer.periodic_embeddings
    phase = 2 * math.pi * embeddings.periodic.weight * x[..., None]
    periodic = torch.cat([phase.cos(), phase.sin()], dim=-1)
    weight = embeddings.linear.weight
    copied = weight[None].expand(len(x), *weight.shape)  # the product of a row's vector with its matrix copies it
    tokens = (periodic[..., None, :] @ copied)[..., 0, :] + embeddings.linear.bias
    place = network.satclip_projection(torch.zeros(len(x), masked.SATCLIP))[:, None]
    keep = torch.cat([keep, torch.zeros(len(x), 1, dtype=torch.bool)], dim=1)
    hidden = torch.where(keep[..., None], torch.cat([tokens.relu(), place], dim=1), network.mask_token)
    for block in network.transformer_encoder.blocks:
        inner, attention = block.attention_normalization(hidden), block.attention
        queries, keys, values = (
            layer(inner).unflatten(-1, (attention.heads, -1)).transpose(1, 2)
            for layer in (attention.W_q, attention.W_k, attention.W_v)
        )
        scores = (queries @ keys.transpose(2, 3)) / math.sqrt(queries.shape[-1])
        mixed = (scores.softmax(dim=-1) @ values).transpose(1, 2).flatten(2)
        hidden = hidden + attention.W_out(mixed)
        hidden = hidden + block.ffn(block.ffn_normalization(hidden))
    return network.head(hidden.mean(dim=1))


def ours(network: masked.MaskSdm, x: Tensor, keep: Tensor, **asked: Any) -> Tensor:
    with inference(torch.device("cpu")):
        return network(x, keep, **asked).logits


def sites(rows: int, visible: int) -> tuple[Tensor, Tensor]:
    """Standardised predictors and which are visible: as many at each site, others at each."""
    generator = torch.Generator().manual_seed(0)
    order = torch.rand(rows, FEATURES, generator=generator).argsort(dim=1)
    return torch.randn(rows, FEATURES, generator=generator), order < visible


def status_mb(field: str) -> float:
    """VmHWM (peak) or VmRSS (now) of this process, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def measured_memory(way: str, rows: int, visible: int) -> float:
    """MB that one forward pass takes beyond the network, in a process of its own."""
    code = (
        f"import bench_masksdm_forward as b, torch; torch.set_num_threads(1); n = b.network(); g = b.sites({rows}, {visible});"
        " torch.set_grad_enabled(False); b.ours(n, *b.sites(1, 5)); b.Path('/proc/self/clear_refs').write_text('5');"
        f" before = b.status_mb('VmRSS'); b.{way}(n, *g); print(b.status_mb('VmHWM') - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=sys.path[0])
    return float(done.stdout)


def network() -> masked.MaskSdm:
    torch.manual_seed(0)
    return masked.build(FEATURES, SPECIES).eval()


def best(call, repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    model, missed = network(), []
    with torch.inference_mode():
        for name, visible in (("all", FEATURES), ("some", VISIBLE)):
            x, keep = sites(given.rows, visible)
            apart = (expanded(model, x[:16], keep[:16]) - ours(model, x[:16], keep[:16])).abs().max().item()
            slow = best(lambda x=x, keep=keep: expanded(model, x, keep), given.repeats)
            fast = best(lambda x=x, keep=keep: ours(model, x, keep), given.repeats)
            same = best(lambda x=x, keep=keep: model(x, keep), given.repeats)  # with the baseline's kernels
            few = best(lambda x=x, keep=keep: ours(model, x, keep, species=range(50)), given.repeats)
            print(
                f"{visible} of {FEATURES} visible, {given.rows} sites: {slow:.2f} s -> {fast:.3f} s = {slow / fast:.1f} times"
                f" (target {TARGETS[name]:g}; {slow / same:.1f} with the same kernels); 50 species alone {few:.3f} s;"
                f" answers differ by {apart:.1e}"
            )
            missed += [name] if slow / fast < TARGETS[name] else []
    for visible in (FEATURES, VISIBLE):
        much, little = (measured_memory(way, given.rows, visible) for way in ("expanded", "ours"))
        print(
            f"{visible} of {FEATURES} visible: {much:.0f} MB -> {little:.0f} MB = {much / little:.1f} times less (target 4)"
        )
        missed += ["memory"] if much / little < TARGETS["memory"] else []
    if missed:
        print(f"below target: {', '.join(missed)}")


if __name__ == "__main__":
    main()
