"""MViT and MViTv2 in PyTorch, for comparisons in the benchmarks, with PySlowFast's names.

As in the original, queries, keys and values are pooled head by head, and attention is written out.
"""

import torch
import torch.nn.functional as F
from torch import nn


def pooled(x, grid, pool):
    """Pools tokens (N, heads, 1 + T * H * W, C), class token apart; returns the new grid too."""
    n, heads, _, c = x.shape
    first, patches = x[:, :, :1], x[:, :, 1:]
    maps = patches.reshape(n * heads, *grid, c).permute(0, 4, 1, 2, 3).contiguous()
    maps = pool(maps)
    patches = maps.reshape(n, heads, c, -1).transpose(2, 3)
    return torch.cat((first, patches), 2), tuple(maps.shape[2:])


def vectors(table, queries, keys):
    """(queries, keys, C): the vector of the distance of each query and key on an axis."""
    q_scale, k_scale = max(keys / queries, 1.0), max(queries / keys, 1.0)
    places = torch.arange(queries)[:, None] * q_scale - torch.arange(keys)[None] * k_scale
    return table[(places + (keys - 1) * k_scale).long()]


class Attention(nn.Module):
    def __init__(self, dim, dim_out, heads, grid, kernel, q_stride, kv_stride, relative):
        super().__init__()
        self.heads, self.relative, c = heads, relative, dim_out // heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim_out), nn.Linear(dim_out, dim_out)
        for name, stride in (("q", q_stride), ("k", kv_stride), ("v", kv_stride)):
            if stride is not None:
                padding = tuple(k // 2 for k in kernel)
                conv = nn.Conv3d(c, c, kernel, stride, padding, groups=c, bias=False)
                setattr(self, f"pool_{name}", conv)
                setattr(self, f"norm_{name}", nn.LayerNorm(c, eps=1e-6))
        if relative:
            size = grid[1] // min(q_stride[1], kv_stride[1])
            self.rel_pos_h = nn.Parameter(0.02 * torch.randn(2 * size - 1, c))
            self.rel_pos_w = nn.Parameter(0.02 * torch.randn(2 * size - 1, c))
            self.rel_pos_t = nn.Parameter(0.02 * torch.randn(2 * grid[0] - 1, c))

    def forward(self, x, grid):
        n, length, _ = x.shape
        parts = self.qkv(x).reshape(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        (q, q_grid), (k, k_grid), (v, _) = (
            self.pool(part, name, grid) for part, name in zip(parts, "qkv", strict=True)
        )
        logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        if self.relative:
            self.add_relative(logits, q, q_grid, k_grid)
        x = logits.softmax(-1) @ v
        if self.relative:
            x[:, :, 1:] += q[:, :, 1:]
        return self.proj(x.transpose(1, 2).reshape(n, x.shape[2], -1)), q_grid

    def pool(self, x, name, grid):
        if not hasattr(self, f"pool_{name}"):
            return x, grid
        x, grid = pooled(x, grid, getattr(self, f"pool_{name}"))
        return getattr(self, f"norm_{name}")(x), grid

    def add_relative(self, logits, q, q_grid, k_grid):
        n, heads, _, c = q.shape
        patches = q[:, :, 1:].reshape(n, heads, *q_grid, c)
        (qt, qh, qw), (kt, kh, kw) = q_grid, k_grid
        in_time = torch.einsum("nythwc,tkc->nythwk", patches, vectors(self.rel_pos_t, qt, kt))
        in_height = torch.einsum("nythwc,hkc->nythwk", patches, vectors(self.rel_pos_h, qh, kh))
        in_width = torch.einsum("nythwc,wkc->nythwk", patches, vectors(self.rel_pos_w, qw, kw))
        total = logits[:, :, 1:, 1:].view(n, heads, *q_grid, *k_grid)
        total = total + in_height[..., None, :, None] + in_width[..., None, None, :]
        total = total + in_time[..., :, None, None]
        logits[:, :, 1:, 1:] = total.view(n, heads, qt * qh * qw, kt * kh * kw)


class MLP(nn.Module):
    def __init__(self, dim, hidden, dim_out):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim_out)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """`second`: the width grows in the attention, as in MViTv2."""

    def __init__(self, dim, dim_out, heads, grid, kernel, q_stride, kv_stride, second):
        super().__init__()
        inner = dim_out if second else dim
        self.second, self.q_stride = second, q_stride
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(inner, eps=1e-6)
        self.attn = Attention(dim, inner, heads, grid, kernel, q_stride, kv_stride, second)
        self.mlp = MLP(inner, 4 * inner, dim_out)
        self.widens = dim != dim_out
        if self.widens:
            self.proj = nn.Linear(dim, dim_out)

    def forward(self, x, grid):
        y = self.norm1(x)
        attended, new_grid = self.attn(y, grid)
        if self.second and self.widens:
            x = self.proj(y)
        if self.q_stride is not None and max(self.q_stride) > 1:
            x = pooled(x[:, None], grid, self.pool_skip)[0][:, 0]
        x = x + attended
        y = self.norm2(x)
        z = self.mlp(y)
        if not self.second and self.widens:
            x = self.proj(y)
        return x + z, new_grid

    def pool_skip(self, maps):
        kernel = tuple(s + 1 if s > 1 else 1 for s in self.q_stride)
        return F.max_pool3d(maps, kernel, self.q_stride, tuple(k // 2 for k in kernel))


class PatchEmbed(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.proj = nn.Conv3d(3, dim, (3, 7, 7), (2, 4, 4), (1, 3, 3))

    def forward(self, clip):
        return self.proj(clip)


class Head(nn.Module):
    def __init__(self, dim, num_classes):
        super().__init__()
        self.projection = nn.Linear(dim, num_classes)

    def forward(self, x):
        return self.projection(x)


class MViT(nn.Module):
    """MViT, or with `second` MViTv2; `stages` are the blocks where width and heads double."""

    def __init__(
        self, *, second, depth=16, stages=(1, 3, 14), dim=96, num_classes=400, num_frames=16,
        train_crop=224,
    ):
        super().__init__()
        self.second, kernel = second, (3, 3, 3)
        self.patch_embed = PatchEmbed(dim)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        grid = (num_frames // 2, train_crop // 4, train_crop // 4)
        if not second:
            for name, size in ("spatial", grid[1] * grid[2]), ("temporal", grid[0]), ("class", 1):
                table = nn.Parameter(0.02 * torch.randn(1, size, dim))
                setattr(self, f"pos_embed_{name}", table)
        self.blocks, heads, kv = nn.ModuleList(), 1, 8
        for i in range(depth):
            pools = i in stages
            q_stride = (1, 2, 2) if pools else (1, 1, 1) if second else None
            heads, kv = (2 * heads, max(kv // 2, 1)) if pools else (heads, kv)
            doubles = pools if second else i + 1 in stages
            dim_out = 2 * dim if doubles else dim
            self.blocks.append(
                Block(dim, dim_out, heads, grid, kernel, q_stride, (1, kv, kv), second)
            )
            grid = (grid[0], grid[1] // 2, grid[2] // 2) if pools else grid
            dim = dim_out
        self.norm, self.head = nn.LayerNorm(dim, eps=1e-6), Head(dim, num_classes)

    def positions(self, clip):
        """Logits (N, K)."""
        x = self.patch_embed(clip)
        grid = tuple(x.shape[2:])
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), 1)
        if not self.second:
            patches = self.pos_embed_spatial.repeat(1, grid[0], 1) + (
                self.pos_embed_temporal.repeat_interleave(grid[1] * grid[2], 1)
            )
            x = x + torch.cat((self.pos_embed_class, patches), 1)
        for block in self.blocks:
            x, grid = block(x, grid)
        return self.head(self.norm(x)[:, 0])

    def forward(self, clip):
        logits = self.positions(clip)
        return logits if self.training else logits.softmax(-1)
