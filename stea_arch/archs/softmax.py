"""Softmax attention, the reference that the Taylor expansions are measured against."""

import torch.nn.functional as F

from stea_arch.archs.attention import QueryKeyAttention
from stea_arch.archs.layers import full_precision


class Softmax(QueryKeyAttention):
    """Softmax attention between all pixels of an image.

    In every head, for pixel i of N::

        expansion_i = sum_j w_ij v_j,   w_ij = exp(q_i . k_j) / sum_m exp(q_i . k_m)

    with ``|q . k| < 0.9`` (see ``QueryKeyAttention``, also for the arguments). Costs ``N^2 (h d + C)`` multiply-adds
    and ``h N^2`` exponentials an image: O(N^2) in time. PyTorch's fused kernels need no N x N matrix in memory.

    The weights fit ``Taylor`` and the other way round: both have the same parameters.
    """

    mergeable = False

    def statistics(self, x):
        """Keys ``(B, h, d, N)`` and values ``(B, h, C/h, N)`` of all pixels; those of parts are joined along N."""
        return self.keys(x), self.split(self.value(x))

    def expansion(self, x, v, keys, values):
        q = self.queries(x)
        with full_precision(q):
            return softmax_attention(q, keys, values).to(v.dtype).reshape(v.shape)


def softmax_attention(q, k, v):
    """``sum_j softmax_j(q . k_j) v_j``, by PyTorch's kernels.

    Args:
        q (Tensor): ``(B, h, d, M)``.
        k (Tensor): ``(B, h, d, N)``.
        v (Tensor): ``(B, h, c, N)``.

    Returns:
        Tensor: ``(B, h, c, M)``.
    """
    # The fused kernels want queries, keys and values of one width (zeros change no product), and on a CPU each pixel's
    # in one piece: else PyTorch makes the N x N matrix after all, without a word.
    c, width = v.shape[2], max(q.shape[2], v.shape[2])
    q, k, v = (F.pad(x, (0, 0, 0, width - x.shape[2])).transpose(2, 3).contiguous() for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, scale=1.0).transpose(2, 3)[:, :, :c]
