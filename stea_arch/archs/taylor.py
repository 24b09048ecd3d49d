"""The Taylor expansion of softmax attention, element by element, in O(N).

Softmax attention weighs pixel j for pixel i with exp(q_i . k_j). Here the exponential is replaced by its Taylor
polynomial T_n(s) = 1 + s + ... + s^n / n!, and nothing else: what comes out is what an N x N matrix of T_n(q_i . k_j)
would give, summed in another order. By the multinomial theorem

    (q . k)^m / m! = sum over |a| = m of q^a k^a / a!

where ``a`` counts how often each of the d entries occurs, ``q^a = q_1^a_1 ... q_d^a_d`` and ``a! = a_1! ... a_d!``. So
T_n(q . k) = phi(q) . phi(k) with one feature ``phi_a(x) = x^a / sqrt(a!)`` for each of the F = (d + n)! / (d! n!)
products of up to n entries: a product that occurs in several orders is stored once.

How far this is from softmax: for ``|s| <= r``

    |exp(s) - T_n(s)| <= r^(n+1) / (n+1)! e^r   and   |exp(s) - T_n(s)| / exp(s) <= the same

(Lagrange's remainder; for s < 0 it holds without e^r, which dividing by exp(s) brings in). With positive weights T_n
both results are weighted means of the values, and they differ, channel by channel, by at most this bound times the
distance between the largest and the smallest value. T_2 is positive everywhere, T_1 for s > -1 and T_3 for s > -1.596.
"""

import itertools
import math

import torch

from stea_arch.archs.attention import QueryKeyAttention
from stea_arch.archs.layers import full_precision


class Taylor(QueryKeyAttention):
    """Softmax attention with the exponential expanded to order n, in O(N).

    In every head, for pixel i of N, with T_n(s) = 1 + s + ... + s^n / n! ::

        expansion_i = sum_j T_n(q_i . k_j) v_j / sum_j T_n(q_i . k_j)

    computed from the means over pixels of ``phi(k) v^T`` and ``phi(k)``, where ``T_n(q . k) =
    phi(q) . phi(k)``, see the top of this file. Costs ``2 F (C + h)`` multiply-adds a pixel with
    F = (d + n)! / (d! n!) features a head: 5, 15, 35 for d = 4 and n = 1, 2, 3.

    As ``|q . k| < 0.9``, the normaliser is a mean of numbers above 0.1, 0.5 and 0.38 for n = 1, 2, 3, and the result
    differs from softmax by less than 1, 0.3 and 0.07 times the range of the values.

    Args:
        num_feat (int): channels C, a multiple of ``num_heads``.
        order (int): n, at least 1.
        num_heads (int): heads h.
        key_dim (int): dimension d of a query and of a key in one head.
    """

    def __init__(self, num_feat, order=2, num_heads=4, key_dim=4):
        super().__init__(num_feat, num_heads, key_dim)
        self.order = order
        # whole numbers, which half precision holds exactly
        self.register_buffer('factorials', factorials(key_dim, order), persistent=False)

    def statistics(self, x):
        """Means over pixels of ``k^a v^T``, ``(B, h, F, C/h)``, and of ``k^a``, ``(B, h, F, 1)``, in fp32 at least."""
        return taylor_statistics(self.keys(x), self.split(self.value(x)), self.order)

    def expansion(self, x, v, weighted, total):
        joined = taylor_attention(self.queries(x), weighted, total, self.order, self.factorials)
        return joined.to(v.dtype).reshape(v.shape)


def taylor_statistics(k, v, order):
    """What has to be known of all keys and values: means over the pixels.

    Args:
        k (Tensor): keys ``(B, h, d, N)``.
        v (Tensor): values ``(B, h, c, N)``.
        order (int): n of the expansion.

    Returns:
        tuple[Tensor, Tensor]: the mean of ``k^a v^T``, ``(B, h, F, c)``, and of ``k^a``, ``(B, h, F, 1)``.
    """
    powers = monomials(k, order)
    with full_precision(k):
        return powers @ v.transpose(-1, -2) / k.shape[-1], powers.mean(-1, keepdim=True)


def taylor_attention(q, weighted, total, order, factorials):
    """``sum_j T_n(q . k_j) v_j / sum_j T_n(q . k_j)`` from the statistics of the keys and values.

    Args:
        q (Tensor): queries ``(B, h, d, M)``.
        weighted (Tensor), total (Tensor): from :func:`taylor_statistics`.
        order (int): n of the expansion.
        factorials (Tensor): ``(F, 1)`` from :func:`factorials`.

    Returns:
        Tensor: ``(B, h, c, M)``.
    """
    moments = torch.cat([weighted, total], dim=-1) / factorials
    with full_precision(q):
        joined = moments.transpose(-1, -2) @ monomials(q, order)
    return joined[..., :-1, :] / joined[..., -1:, :]


def monomials(x, order):
    """All products of up to ``order`` of the d entries of ``x``: 1, then each entry, then each pair once, ...

    Args:
        x (Tensor): ``(..., d, N)``.
        order (int): n, at least 1.

    Returns:
        Tensor: ``(..., F, N)``, F = (d + n)! / (d! n!), in the order of ``itertools.combinations_with_replacement``.
    """
    parts = [torch.ones_like(x[..., :1, :]), x]
    starts = range(x.shape[-2])
    for _ in range(order - 1):
        # entry i times every product of one degree less whose first entry is i or a later one
        groups = [x[..., i : i + 1, :] * parts[-1][..., start:, :] for i, start in enumerate(starts)]
        starts = [0, *itertools.accumulate(group.shape[-2] for group in groups[:-1])]
        parts.append(torch.cat(groups, dim=-2))
    return torch.cat(parts, dim=-2)


def factorials(key_dim, order):
    """``a!`` for every product ``x^a`` of :func:`monomials`, ``(F, 1)``: 2 for a square, 6 for a cube, ..."""
    products = [p for n in range(order + 1) for p in itertools.combinations_with_replacement(range(key_dim), n)]
    return torch.tensor([[math.prod(math.factorial(p.count(i)) for i in set(p))] for p in products]).float()


def error_bound(largest, order):
    """``r^(n+1) / (n+1)! e^r``: how far the weights are from the exponential, see the top of this file.

    Args:
        largest (float): r, the largest ``|q . k|``.
        order (int): n.
    """
    return largest ** (order + 1) / math.factorial(order + 1) * math.exp(largest)
