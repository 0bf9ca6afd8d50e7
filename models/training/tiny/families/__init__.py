"""The six families. Each has `make(level, rng) -> Problem`."""

from tiny.families import countdown, equation, expression, number_theory, product, word

FAMILIES = {
    "expression": expression.make,
    "product": product.make,
    "equation": equation.make,
    "number theory": number_theory.make,
    "countdown": countdown.make,
    "word": word.make,
}
