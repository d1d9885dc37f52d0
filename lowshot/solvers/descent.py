"""Minimisers, many tasks at once, of NumPy arrays or of PyTorch tensors on any device.

`minimise`: multinomial logistic regression by preconditioned L-BFGS with an exact line search. Logits are linear in the
weights, so along a direction they cost nothing new: each iteration takes one product forward (logits of the direction)
and one backward (gradient), and the search for the step works on logits alone.
`newton`: the same problem by Newton's method, whose stopping rule is exact: for features of any scale.
`conjugate_gradients`: symmetric linear systems.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.linalg import LinAlgError

MEMORY = 10
SEARCHES = 30
SLOPE = 0.1  # the line search ends when the slope has fallen to this share of where it began
RESIDUAL = 1e-4  # of the right-hand side: where conjugate gradients stop
MAX_ITERATIONS = 500
FORCING = 0.1  # residual of Newton's linear systems, at most; the root of the gradient's decrease where that is smaller
NEWTON_STEPS = 100
QUADRATIC = 1e-6  # gᵀ·H⁻¹·g below which Newton's step needs no line search


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over axis 1 of (T, k, N)."""
    xp = array_namespace(logits)
    shares = xp.exp(logits - xp.max(logits, axis=1, keepdims=True))
    shares /= xp.sum(shares, axis=1, keepdims=True)
    return shares


def minimise(problem: Any, weights: Any, tolerance: Callable, max_iterations: int = 200) -> tuple[Any, Any]:
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
    xp = array_namespace(weights)
    shares = softmax(logits := problem.forward(weights))
    gradient = _gradient(problem, weights, shares)
    active = xp.ones_like(weights[:, 0, 0], dtype=xp.bool)
    pairs: list = []
    for iteration in range(max_iterations):
        if iteration in problem.renew:
            apply, pairs = problem.precondition(shares), []
        direction = -_two_loops(gradient, pairs, apply)
        slope = _inner(gradient, direction)                          # (T,) negative
        if iteration == 0:
            first, limit = -slope, tolerance(-slope)
        active &= -slope > limit
        if not xp.any(active):
            return weights, first
        direction *= active[:, None, None]
        change = problem.forward(direction)
        step, shares_new = _line_search(problem, weights, logits, direction, change, slope)
        active &= step > 0                                            # 0: rounding leaves nothing to gain
        step = xp.where(active, step, xp.zeros_like(step))[:, None, None]
        weights_new = weights + step * direction
        logits = logits + xp.astype(step, logits.dtype) * change
        shares = shares_new
        gradient_new = _gradient(problem, weights_new, shares)
        pairs = [*pairs, (weights_new - weights, gradient_new - gradient)][-MEMORY:]
        weights, gradient = weights_new, gradient_new
    warnings.warn(f"logistic regression: {int(xp.sum(active))} of {len(active)} tasks did not reach the tolerance in "
                  f"{max_iterations} iterations", stacklevel=2)
    return weights, first


def newton(problem: Any, weights: np.ndarray, tolerance: Callable) -> np.ndarray:
    """Minimise as `minimise` does, each direction from the Hessian itself, by preconditioned conjugate gradients.

    A task stops when gᵀ·H⁻¹·g ≤ tolerance, H its Hessian there: twice the decrease that is still to be had, to second
    order. LinAlgError: the numbers leave float64. Slower than `minimise`, whose approximation of H misleads it where
    features are far from unit length.
    """
    xp = array_namespace(weights)
    logits = problem.forward(weights)
    shares = softmax(logits)
    gradient = _gradient(problem, weights, shares)
    began = xp.sqrt(_inner(gradient, gradient))
    active = xp.ones_like(began, dtype=xp.bool)
    for iteration in range(NEWTON_STEPS):
        decrease = xp.sqrt(_inner(gradient, gradient)) / xp.where(began > 0, began, xp.ones_like(began))
        forcing = xp.minimum(xp.full_like(decrease, FORCING), xp.sqrt(decrease))
        direction = -_newton_direction(problem, shares, gradient, forcing)
        slope = _inner(gradient, direction)
        if not bool(xp.all(xp.isfinite(slope))):
            raise LinAlgError("numbers beyond float64 in logistic regression")
        if iteration == 0:
            limit = tolerance(-slope)
        active &= -slope > limit
        if not xp.any(active):
            return weights
        direction = direction * active[:, None, None]
        searched = -slope > QUADRATIC                                # elsewhere the full step is right, and a search
        along = direction * searched[:, None, None]                  # would be lost in rounding
        step, _ = _line_search(problem, weights, logits, along, problem.forward(along), slope)
        step = xp.where(searched, step, xp.ones_like(step))
        active &= step > 0
        weights = weights + xp.where(active, step, xp.zeros_like(step))[:, None, None] * direction
        logits = problem.forward(weights)
        shares = softmax(logits)
        gradient = _gradient(problem, weights, shares)
    warnings.warn(f"logistic regression: {int(xp.sum(active))} of {len(active)} tasks did not converge in "
                  f"{NEWTON_STEPS} Newton steps; scale the features, for example to unit length", stacklevel=2)
    return weights


def _newton_direction(problem, shares, gradient, forcing):
    """H⁻¹ times `gradient` (T, k, w+1), H the Hessian at softmax `shares`, up to a residual of `forcing` (T,).

    The classes' vectors sum to zero, as at the optimum: H does not see equal biases of all classes.
    """
    xp = array_namespace(gradient)
    size, precondition = gradient.shape, problem.precondition(shares)

    def times(vectors):
        vectors = xp.reshape(vectors, size)
        changes = shares * problem.forward(vectors)
        changes = changes - shares * xp.sum(changes, axis=1, keepdims=True)
        image = xp.astype(problem.backward(changes), xp.float64)
        image[:, :, :-1] += problem.penalty * vectors[:, :, :-1]
        return xp.reshape(image, (len(image), 1, -1))

    def apply(vectors):
        return balanced(precondition(xp.reshape(vectors, size)))

    def balanced(vectors):
        return xp.reshape(vectors - xp.mean(vectors, axis=1, keepdims=True), (len(vectors), 1, -1))

    flat = balanced(gradient)
    return xp.reshape(conjugate_gradients(times, flat, apply, forcing[:, None, None]), size)


def _gradient(problem, weights, shares):
    xp = array_namespace(weights)
    gradient = xp.astype(problem.backward(shares - problem.targets), xp.float64)
    gradient[:, :, :-1] += problem.penalty * weights[:, :, :-1]
    return gradient


def _inner(a, b):
    """(T,) sums of a·b."""
    xp = array_namespace(a)
    return xp.sum(a * b, axis=(1, 2), dtype=xp.float64)


def _two_loops(gradient, pairs, apply):
    """L-BFGS: the approximate inverse Hessian times the gradient. A pair without curvature (a stopped task) is void."""
    xp = array_namespace(gradient)
    vector, used = gradient, []
    for step, change in reversed(pairs):
        curvature = _inner(step, change)
        ones = xp.ones_like(curvature)
        scale = xp.where(curvature > 0, 1 / xp.where(curvature > 0, curvature, ones), 0 * ones)
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
    xp = array_namespace(slope)
    straight = _inner(problem.targets, change)
    flat = direction[:, :, :-1]
    first = problem.penalty * _inner(weights[:, :, :-1], flat)
    second = problem.penalty * _inner(flat, flat)
    low, high = xp.zeros_like(slope), xp.full_like(slope, xp.inf)
    step = xp.ones_like(slope)
    best = step
    for _ in range(SEARCHES):
        shares = softmax(logits + xp.astype(step, logits.dtype)[:, None, None] * change)
        weighted = shares * change
        mean = xp.sum(weighted, axis=1, keepdims=True)
        now = xp.sum(weighted, axis=(1, 2), dtype=xp.float64) - straight + first + step * second
        curvature = _inner(weighted, change) - _inner(mean, mean) + second
        best = step
        open_ = xp.abs(now) > SLOPE * xp.abs(slope)
        if not xp.any(open_):
            break
        low, high = xp.where(now < 0, step, low), xp.where(now < 0, high, step)
        guess = step - now / xp.where(curvature > 0, curvature, xp.full_like(curvature, xp.inf))
        inside = (guess > low) & (guess < high)
        halfway = xp.where(xp.isfinite(high), (low + high) / 2, 4 * step)
        step = xp.where(open_, xp.where(inside, guess, halfway), step)
    return best, shares


def conjugate_gradients(times: Callable, right: np.ndarray, precondition: Callable,
                        residual_limit: float = RESIDUAL) -> Any:
    """x (…, k, D) with times(x) = right, one system a row, each with its own step.

    A row stops where its residual is below `residual_limit` times its right-hand side.
    """
    xp = array_namespace(right)

    def inner(a, b):
        return xp.sum(a * b, axis=-1, keepdims=True)

    def positive(values):
        return xp.where(values > 0, values, xp.ones_like(values))

    solution = xp.zeros_like(right)
    residual = right
    goal = residual_limit**2 * inner(right, right)
    direction = preconditioned = precondition(residual)
    product = inner(residual, preconditioned)
    for _ in range(MAX_ITERATIONS):
        open_ = inner(residual, residual) > goal                    # (…, k, 1) rows that go on
        if not xp.any(open_):
            break
        image = times(direction)
        curvature = inner(direction, image)
        step = xp.where(open_, product / positive(curvature), xp.zeros_like(product))
        solution = solution + step * direction
        residual = residual - step * image
        preconditioned = precondition(residual)
        previous, product = product, inner(residual, preconditioned)
        direction = preconditioned + product / positive(previous) * direction
    return solution
