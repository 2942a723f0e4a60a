"""Loading a ViT-L-size file: `zoo.checkpoints.loading.load_into` against `safetensors.torch.load_file`, every tensor touched.

Each measurement is a fresh process, imports done, the two sides in turns, the file in the page cache. Time is wall time
of loading and summing every tensor; memory is the peak resident size (`VmHWM`) over that before loading, mapped pages
of the file included. `ordinary` is construction with random weights and `load_state_dict`, for comparison.

    python benchmarks/bench_load.py [--rounds 5] [--gigabytes 1.34]

Targets: time of zoo <= 1.3 x load_file + 0.3 s; peak of zoo <= 1.15 x the file. Exits with 1 where one is missed.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor, nn

WIDTH = 1024  # ViT-L: width 1024, 16 heads, MLP 4096
SIDES = ("load_file", "zoo", "ordinary")


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)


class Encoder(nn.Module):
    """Shaped as a ViT-L, initialised as timm does; a sin-cos table is computed and not saved."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(12, WIDTH, 16, 16)
        self.pos_embed = nn.Parameter(torch.zeros(1, 197, WIDTH))
        self.blocks = nn.ModuleList(Block(WIDTH) for _ in range(depth))
        self.norm = nn.LayerNorm(WIDTH)
        angle = torch.arange(196)[:, None] * 10_000 ** -torch.linspace(0, 1, WIDTH // 2)
        self.register_buffer("table", torch.cat([angle.sin(), angle.cos()], 1), persistent=False)
        nn.init.normal_(self.pos_embed, std=0.02)
        self.apply(self._init)

    @staticmethod
    def _init(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)


def touch(tensors: list[Tensor]) -> float:
    return sum(float(tensor.sum()) for tensor in tensors)


def memory_mb(name: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def measure(side: str, file: Path, depth: int) -> None:
    """One measurement, in a process of its own: prints JSON."""
    from safetensors.torch import load_file

    from zoo.checkpoints.loading import load_into
    from zoo.spec import Weights

    torch.set_num_threads(1)
    torch.zeros(8).sum()
    baseline, start = memory_mb("VmRSS"), time.perf_counter()
    if side == "load_file":
        tensors = list(load_file(file).values())
    elif side == "zoo":
        module, _ = load_into(lambda: Encoder(depth), file, Weights(file=file.name))
        tensors = [*module.parameters(), *module.buffers()]
    else:
        module = Encoder(depth)
        module.load_state_dict(load_file(file))
        tensors = [*module.parameters(), *module.buffers()]
    with torch.no_grad():
        touch(tensors)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_mb": memory_mb("VmHWM") - baseline}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gigabytes", type=float, default=1.34, help="of the file; 1.34 is SMARTIES ViT-L")
    parser.add_argument("--measure", nargs=3, metavar=("SIDE", "FILE", "DEPTH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        side, file, depth = options.measure
        measure(side, Path(file), int(depth))
        return 0
    depth = max(1, round(options.gigabytes * 1e9 / 4 / (12 * WIDTH**2)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        write(file, depth)
        rounds = [{side: one(side, file, depth) for side in SIDES} for _ in range(options.rounds)]
        size_mb = file.stat().st_size / 2**20
    median = {
        side: {key: statistics.median(row[side][key] for row in rounds) for key in ("seconds", "peak_mb")}
        for side in SIDES
    }
    allowed = 1.3 * median["load_file"]["seconds"] + 0.3
    ratio = median["zoo"]["seconds"] / median["load_file"]["seconds"]
    peak = median["zoo"]["peak_mb"] / size_mb
    print(f"file {size_mb:.0f} MB, {options.rounds} rounds, medians")
    for side in SIDES:
        print(f"  {side:10s} {median[side]['seconds']:6.3f} s  peak +{median[side]['peak_mb']:.0f} MB")
    print(f"time zoo / load_file    {ratio:.2f}  ({median['zoo']['seconds']:.3f} s, target <= {allowed:.3f} s)")
    print(f"peak zoo / file         {peak:.3f}  (target <= 1.15)")
    return int(median["zoo"]["seconds"] > allowed or peak > 1.15)


def write(file: Path, depth: int) -> None:
    from safetensors.torch import save_file

    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in Encoder(depth).state_dict().items()}
    torch.manual_seed(0)
    save_file({key: torch.rand(shape) for key, shape in shapes.items()}, file)


def one(side: str, file: Path, depth: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", side, str(file), str(depth)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    sys.exit(main())
