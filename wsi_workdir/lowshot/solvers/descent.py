"""Minimiser of multinomial logistic regression: preconditioned L-BFGS with an exact line search, many tasks at once.

Logits are linear in the weights, so along a direction they cost nothing new: each iteration takes one product forward
(logits of the direction) and one backward (gradient), and the search for the step works on logits alone.
"""

import warnings

import numpy as np

MEMORY = 10
SEARCHES = 30
SLOPE = 0.1  # the line search ends when the slope has fallen to this share of where it began


def softmax(logits):
    """Over axis 1 of (T, k, N)."""
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def minimise(problem, weights, tolerance, max_iterations=200):
    """Minimise Σ cross-entropy + penalty/2 · |w|² of each of T tasks, from `weights` (T, k, w+1).

    Returns the minimisers, float64, and the first gᵀ·H·g of each task (T,), for tolerances of its own.

    problem: has `targets` (T, k, N), `penalty`; forward(weights) → logits (T, k, N); backward(values (T, k, N)) →
    (T, k, w+1), the last column the bias, which has no penalty; precondition(shares (T, k, N)) → function that applies
    an approximate inverse Hessian; `renew`: iterations at which it is made anew, L-BFGS starting afresh.
    A task stops when gᵀ·H·g ≤ tolerance, g its gradient and H the L-BFGS approximation of the inverse Hessian: twice
    the decrease of the summed loss that is still to be had, whatever the scale of the features. Its result does not
    depend on the other tasks. Warns where one has not stopped after max_iterations.
    tolerance: function from the first gᵀ·H·g (T,) to where to stop.
    """
    shares = softmax(logits := problem.forward(weights))
    gradient = _gradient(problem, weights, shares)
    going = np.ones(len(weights), dtype=bool)
    pairs = []
    for iteration in range(max_iterations):
        if iteration in problem.renew:
            apply, pairs = problem.precondition(shares), []
        direction = -_two_loops(gradient, pairs, apply)
        slope = _inner(gradient, direction)                          # (T,) negative
        if iteration == 0:
            first, limit = -slope, tolerance(-slope)
        going &= -slope > limit
        if not going.any():
            return weights, first
        direction *= going[:, None, None]
        change = problem.forward(direction)
        step, shares_new = _line_search(problem, weights, logits, direction, change, slope)
        going &= step > 0                                            # 0: rounding leaves nothing to gain
        step = np.where(going, step, 0)[:, None, None]
        weights_new = weights + step * direction
        logits = logits + step.astype(logits.dtype) * change
        shares = shares_new
        gradient_new = _gradient(problem, weights_new, shares)
        pairs = [*pairs, (weights_new - weights, gradient_new - gradient)][-MEMORY:]
        weights, gradient = weights_new, gradient_new
    warnings.warn(f"logistic regression: {going.sum()} of {len(going)} tasks did not reach the tolerance in "
                  f"{max_iterations} iterations", stacklevel=2)
    return weights, first


def _gradient(problem, weights, shares):
    gradient = problem.backward(shares - problem.targets).astype(np.float64)
    gradient[:, :, :-1] += problem.penalty * weights[:, :, :-1]
    return gradient


def _inner(a, b):
    """(T,) sums of a·b."""
    return (a * b).sum(axis=(1, 2), dtype=np.float64)


def _two_loops(gradient, pairs, apply):
    """L-BFGS: the approximate inverse Hessian times the gradient. A pair without curvature (a stopped task) is void."""
    vector, used = gradient, []
    for step, change in reversed(pairs):
        curvature = _inner(step, change)
        scale = np.where(curvature > 0, 1 / np.where(curvature > 0, curvature, 1), 0)
        share = scale * _inner(step, vector)
        vector = vector - share[:, None, None] * change
        used.append((step, change, scale, share))
    vector = apply(vector)
    for step, change, scale, share in reversed(used):
        vector = vector + (share - scale * _inner(change, vector))[:, None, None] * step
    return vector


def _line_search(problem, weights, logits, direction, change, slope):
    """Steps (T,) along `direction` where the slope has fallen to a tenth, and the softmax there.

    Newton steps on the convex function of one variable, kept between a point where it falls and one where it rises.
    """
    straight = _inner(problem.targets, change)
    flat = direction[:, :, :-1]
    first = problem.penalty * _inner(weights[:, :, :-1], flat)
    second = problem.penalty * _inner(flat, flat)
    low, high = np.zeros(len(slope)), np.full(len(slope), np.inf)
    step = np.ones(len(slope))
    best = step
    for _ in range(SEARCHES):
        shares = softmax(logits + step.astype(logits.dtype)[:, None, None] * change)
        weighted = shares * change
        mean = weighted.sum(axis=1, keepdims=True)
        now = weighted.sum(axis=(1, 2), dtype=np.float64) - straight + first + step * second
        bend = _inner(weighted, change) - _inner(mean, mean) + second
        best = step
        open_ = np.abs(now) > SLOPE * np.abs(slope)
        if not open_.any():
            break
        low, high = np.where(now < 0, step, low), np.where(now < 0, high, step)
        guess = step - now / np.where(bend > 0, bend, np.inf)
        inside = (guess > low) & (guess < high)
        halfway = np.where(np.isfinite(high), (low + high) / 2, 4 * step)
        step = np.where(open_, np.where(inside, guess, halfway), step)
    return best, shares
