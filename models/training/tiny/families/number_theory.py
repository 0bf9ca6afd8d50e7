"""Greatest common divisors, least common multiples, remainders, primes and factors."""

import math
from random import Random

from tiny.problem import Problem
from tiny.steps import agree, division, product

GCD = ["What is the gcd of {} and {}?", "Find the greatest common divisor of {} and {}.", "gcd({}, {})",
       "Compute gcd({}, {}).", "What is the greatest common divisor of {} and {}?", "Find gcd({}, {}).",
       "What is the largest number that divides both {} and {}?", "Find the gcd of {} and {}.",
       "What is the highest common factor of {} and {}?"]
LCM = ["What is the lcm of {} and {}?", "Find the least common multiple of {} and {}.", "lcm({}, {})",
       "Compute lcm({}, {}).", "What is the least common multiple of {} and {}?", "Find the lcm of {} and {}.",
       "What is the smallest number that both {} and {} divide?"]
MOD = ["What is the remainder when {} is divided by {}?", "Find {} mod {}.", "What is {} mod {}?",
       "Compute the remainder of {} divided by {}.", "{} mod {}", "What is left over when {} is divided by {}?",
       "Find the remainder of {} / {}."]
SMALLEST = ["What is the smallest prime factor of {}?", "Find the smallest prime factor of {}.",
            "What is the least prime that divides {}?", "Which is the smallest prime that divides {}?"]
PRIME = ["Is {} a prime number? Answer yes or no.", "Is {} prime? Answer yes or no.", "Is {} prime?",
         "Is {} a prime?", "Is the number {} prime?", "Tell me if {} is prime.", "Check whether {} is a prime number."]
FACTOR = ["Factor {} into primes.", "Find the prime factors of {}.", "Find the prime factorization of {}.",
          "Write {} as a product of primes.", "What is the prime factorization of {}?", "Factorize {}.",
          "What are the prime factors of {}?"]


def make(level: int, r: Random) -> Problem:
    return r.choice([_gcd, _lcm, _mod, _smallest, _prime, _factor])(level, r)


def smallest(n: int) -> int:
    return next((p for p in range(2, math.isqrt(n) + 1) if n % p == 0), n)


def primes(n: int) -> list[int]:
    """The primes whose square is at most n."""
    return [p for p in range(2, math.isqrt(n) + 1) if smallest(p) == p]


def _gcd(level, r) -> Problem:
    top = {1: 40, 2: 100, 3: 300, 4: 900, 5: 2000}[level]
    g = r.randint(1, top // 6)
    a, b = g * r.randint(2, top // g), g * r.randint(2, top // g)
    return Problem("number theory", level, r.choice(GCD).format(a, b), f"gcd {min(a, b)} {max(a, b)}",
                   str(math.gcd(a, b)), work=lambda t: _end(t, _euclid(t, a, b)), check=lambda t, x: _reduced(t, a, b, int(x)),
                   opening=r.choice(["I need gcd({}, {}).", "I use Euclid on {} and {}."]).format(a, b))


def _lcm(level, r) -> Problem:
    top = {1: 12, 2: 30, 3: 60, 4: 100, 5: 200}[level]
    a, b = r.randint(2, top), r.randint(2, top)
    if r.random() < 0.4:
        g = r.randint(2, max(2, top // 6))
        a, b = g * r.randint(1, top // g), g * r.randint(1, top // g)

    def work(t):
        g = _euclid(t, a, b)
        t.say(f"The gcd is {g}. ")
        part = _whole(t, a, g)
        return None if part is None else _end(t, product(t, part, b))

    def check(t, answer):
        x, y = _whole(t, int(answer), a), _whole(t, int(answer), b)
        return x is not None and y is not None and _coprime(t, x, y)

    return Problem("number theory", level, r.choice(LCM).format(a, b), f"lcm {min(a, b)} {max(a, b)}",
                   str(math.lcm(a, b)), work=work, check=check, opening=r.choice(["I need lcm({}, {}).",
                                                                     "lcm = a*b/gcd for {} and {}."]).format(a, b))


def _mod(level, r) -> Problem:
    (low, high), top = {1: ((2, 9), 99), 2: ((2, 9), 999), 3: ((11, 30), 999), 4: ((11, 60), 9999),
                        5: ((11, 99), 99999)}[level]
    n, d = r.randint(top // 10 + 1, top), r.randint(low, high)

    def work(t):
        t.quotient, left = division(t, n, d)
        return _end(t, left) if 0 <= left < d else None

    def check(t, answer):
        back = product(t, t.quotient, d)
        return agree(t, t.result(f"{back}+{answer}", back + int(answer)), n)

    return Problem("number theory", level, r.choice(MOD).format(n, d), f"mod {n} {d}", str(n % d), work=work, check=check,
                   opening=r.choice(["I divide {} by {}.", "I need {} mod {}."]).format(n, d))


def _number(level, r) -> int:
    top = {1: 60, 2: 150, 3: 400, 4: 900, 5: 1600}[level]
    n = r.randint(max(4, top // 8), top)
    while r.random() < 0.5 and smallest(n) <= 5:
        n = r.randint(max(4, top // 8), top)
    return n


def _smallest(level, r) -> Problem:
    n = _number(level, r)
    return Problem("number theory", level, r.choice(SMALLEST).format(n), f"smallest {n}", str(smallest(n)),
                   work=lambda t: _end(t, _trial(t, n, primes(n))), check=lambda t, p: _least(t, n, int(p)),
                   opening=f"I try the primes on {n}.")


def _prime(level, r) -> Problem:
    n = _number(level, r)
    if r.random() < 0.4:
        while smallest(n) != n:
            n += 1

    def work(t):
        t.found = _trial(t, n, primes(n))
        t.say("\n")
        return "yes" if t.found == n else "no"

    return Problem("number theory", level, r.choice(PRIME).format(n), f"prime {n}",
                   "yes" if smallest(n) == n else "no", work=work,
                   check=lambda t, answer: _least(t, n, t.found), opening=f"I try the primes on {n}.")


def _factor(level, r) -> Problem:
    n = _number(level, r)
    if r.random() < 0.4:
        n = math.prod(r.choice([2, 2, 2, 3, 3, 5, 7]) for _ in range(level + 1))
        while n > 1600:
            n //= smallest(n)
    n = max(n, 4)

    def work(t):
        t.found, m, low = [], n, 2
        while m > 1:
            p = _trial(t, m, [p for p in primes(m) if p >= low])
            t.found.append(p)
            if p == m:
                break
            m = _whole(t, m, p)
            if m is None:
                return None
            low = p
            t.say(f"\nLeft {m}. ")
        t.say("\n")
        return "*".join(map(str, t.found))

    def check(t, answer):
        out = t.found[0]
        for p in t.found[1:]:
            out = product(t, out, p)
        # The last factor is the one that no division has confirmed.
        return agree(t, out, n) and _again(t, t.found[-1])

    answer, m = [], n
    while m > 1:
        answer.append(smallest(m))
        m //= answer[-1]
    return Problem("number theory", level, r.choice(FACTOR).format(n), f"factor {n}", "*".join(map(str, answer)), work=work,
                   check=check, opening=f"I divide {n} by primes.")


def _end(t, n) -> str:
    t.say("\n")
    return str(n)


def _euclid(t, a, b) -> int:
    """One line a step; the greatest common divisor."""
    if a < b:
        a, b = b, a
    while b > 0:
        q = a // b
        if q >= 10:
            _, left = division(t, a, b)
        else:
            times = b if q == 1 else t.result(f"{b}*{q}", b * q, end=", ")
            left = t.result(f"{a}-{times}", a - times)
        if not 0 <= left < b:
            # Only a slip leads here; the check will see it.
            return b
        a, b = b, left
    return a


def _whole(t, n, d) -> int | None:
    """The quotient, or None with a word on why there is none."""
    if d == 0:
        return None
    if d == 1:
        return n
    if d < 10 and n < 1000 or n < 10 * d:
        if n % d:
            t.say(f"{n} is not a multiple of {d}. ")
            return None
        return t.result(f"{n}/{d}", n // d)
    q, left = division(t, n, d)
    if left:
        t.say(f"{n} is not a multiple of {d}. ")
        return None
    t.say(f"{n}/{d} = {q}. ")
    return q


def _coprime(t, x, y) -> bool:
    g = 1 if 1 in (x, y) else _euclid(t, x, y)
    t.say(f"gcd({x}, {y}) is {g}. ")
    return g == 1


def _reduced(t, a, b, g) -> bool:
    """Whether g divides both and leaves numbers without a common factor."""
    x, y = _whole(t, a, g), _whole(t, b, g)
    return x is not None and y is not None and _coprime(t, x, y)


def _divides(t, n, p) -> bool:
    """Tries one prime, by the digits."""
    if p in (2, 5):
        yes = n % p == 0
        t.say(f"{p}: ends in {n % 10}, {'yes' if yes else 'no'}. ")
        return yes
    if p == 3:
        total = t.result("3: " + "+".join(str(n)), sum(map(int, str(n))), end=", ")
        t.say("yes. " if total % 3 == 0 else "no. ")
        return total % 3 == 0
    text, at, cur = str(n), 0, 0
    t.say(f"{p}: ")
    while True:
        cur, at = cur * 10 + int(text[at]), at + 1
        if cur >= p or at == len(text):
            if cur >= p:
                cur = t.result(str(cur), cur % p, end=", ", claim=" -> ")
            else:
                t.say(f"{cur}, ")
            if at == len(text):
                break
            cur %= p
    t.say("yes. " if cur == 0 else "no. ")
    return cur == 0


def _trial(t, n, candidates) -> int:
    """The first of the candidates that divides n, else n itself."""
    for p in candidates:
        if _divides(t, n, p):
            t.say(f"{p} divides {n}. ")
            return p
    t.say(f"{n} is prime. ")
    return n


def _least(t, n, p) -> bool:
    """Whether p divides n and no smaller prime does: from the top down."""
    if p != n:
        k = _whole(t, n, p)
        if k is None or not agree(t, product(t, k, p), n):
            return False
    return not any([_divides(t, n, q) for q in reversed(primes(n)) if q < p])


def _again(t, p) -> bool:
    return not any([_divides(t, p, q) for q in reversed(primes(p))])
