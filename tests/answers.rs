//! Answers are found in replies, written in one way and compared by value.

use r1core::answer::{AnswerKind, equal, extract, normalise};

/// Pairs with one value, and so one canonical text.
const SAME: &[(&str, &str)] = &[
    // Integers and decimals.
    ("5", "5.0"),
    ("042", "42"),
    ("+7", "7"),
    ("-0", "0"),
    ("\u{2212}3", "-3"),
    ("1,234", "1234"),
    ("12,345,678", "12345678"),
    (r"1{,}234", "1234"),
    (r"1,\!234", "1234"),
    (r"10\,000", "10000"),
    ("10\u{202f}000", "10000"),
    ("1,234.50", "1234.5"),
    (".5", "0.5"),
    ("0.5", "1/2"),
    ("2.50", "5/2"),
    ("-0.125", "-1/8"),
    // Fractions.
    (r"\frac{1}{2}", "1/2"),
    (r"\dfrac{3}{6}", r"\tfrac12"),
    (r"\frac12", "0.5"),
    (r"\frac{-1}{2}", r"-\frac{1}{2}"),
    (r"\frac{1}{-2}", "-1/2"),
    (r"\frac1{10}", "0.1"),
    (r"\frac{10}5", "2"),
    (r"\frac{\frac12}{3}", "1/6"),
    (r"\frac{1,000}{4}", "250"),
    // Mixed numbers.
    (r"1\frac{1}{2}", "3/2"),
    ("2 3/4", "2.75"),
    (r"-3\dfrac{1}{4}", "-13/4"),
    // Powers and scientific notation.
    (r"1.2\times10^3", "1200"),
    (r"1.2 \times 10^{3}", "1200"),
    ("1.5e-3", "0.0015"),
    (r"6.02\cdot10^{23}", "602000000000000000000000"),
    ("3×10²", "300"),
    ("2^{10}", "1024"),
    ("2**10", "1024"),
    ("2^{-2}", "1/4"),
    ("2^3 * 3^2", "72"),
    ("5!", "120"),
    (r"\binom{5}{2}", "10"),
    // Roots.
    (r"\sqrt{12}", r"2\sqrt{3}"),
    (r"\sqrt{12}", "2√3"),
    (r"\sqrt3", "sqrt(3)"),
    (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}"),
    (r"\frac{6}{\sqrt{3}}", r"2\sqrt{3}"),
    (r"\sqrt{\frac{3}{4}}", r"\frac{\sqrt{3}}{2}"),
    (r"\sqrt{2}\sqrt{6}", r"2\sqrt{3}"),
    (r"1+\sqrt{2}", r"\sqrt{2}+1"),
    (r"\frac{1}{1+\sqrt{2}}", r"\sqrt{2}-1"),
    (r"(1+\sqrt{5})^2", r"6+2\sqrt{5}"),
    (r"\frac{2+\sqrt{8}}{2}", r"1+\sqrt{2}"),
    (r"\sqrt[3]{27}", "3"),
    ("2^{1/2}", r"\sqrt{2}"),
    ("9^{0.5}", "3"),
    (r"\sqrt{-4}", "2i"),
    ("(1+i)^2", "2i"),
    (r"\frac{1}{i}", "-i"),
    // π.
    (r"2\pi", "2π"),
    (r"\frac{\pi}{4}", r"\frac14\pi"),
    ("pi/4", "π/4"),
    (r"\pi\sqrt{2}", r"\sqrt{2}\pi"),
    (r"\frac{4}{3}\pi\cdot 3^3", r"36\pi"),
    // Variables.
    ("x+1", "1+x"),
    ("2xy", "y*2x"),
    ("(x+1)^2", "x^2+2x+1"),
    ("x/2", r"\frac{1}{2}x"),
    ("x = 5", "5"),
    ("f(x) = 2x", "2x"),
    (r"x_1 = \frac{10}{4}", "5/2"),
    ("y = 6/2 = 3", "3"),
    // Units and marks.
    ("$5", "5"),
    (r"\$5.00", "5"),
    ("$5$", "5"),
    ("**5**", "5"),
    ("5.", "5"),
    (r"50\%", "50"),
    ("50%", "50"),
    (r"30^\circ", "30"),
    (r"30^{\circ}", "30°"),
    (r"5\text{ cm}", "5"),
    (r"5 \text{ cm}^2", "5"),
    (r"5\,\mathrm{m/s}", "5"),
    ("5 cm", "5"),
    ("12 square units", "12"),
    ("12 dollars", "12"),
    (r"\boxed{7}", "7"),
    (r"\text{42}", "42"),
    // Points, intervals, sets, lists.
    ("(1, 2)", "(1,2)"),
    (r"\left(1, \frac{1}{2}\right)", "(1,0.5)"),
    ("(x, y) = (1, 2)", "(1,2)"),
    (r"[0, \infty)", "[0,∞)"),
    (r"x \in [0, 1]", "[0,1]"),
    (r"\{1, 2\}", r"\{2,1\}"),
    (r"\{1,2\}", "1, 2"),
    ("1, 2, 2", "2, 1"),
    ("x = 1, x = -1", "-1, 1"),
    ("x = 1, y = 2", "(1, 2)"),
    (r"y = 2 \text{ and } x = 1", "(x,y)=(1,2)"),
    (r"1 \text{ or } -1", "-1, 1"),
    ("1, 2, and 3", "3, 2, 1"),
    (r"\pm 2", "2, -2"),
    (r"1 \pm \sqrt{2}", r"1-\sqrt{2}, 1+\sqrt{2}"),
    (r"(1,2)\cup(3,4)", r"(3,4) \cup (1,2)"),
    (r"\emptyset", r"\{\}"),
    ("((5))", "5"),
    // Text.
    (r"\text{Evelyn}", "evelyn"),
    (r"x \leq 3", "x ≤ 3"),
    (r"10110_{2}", "10110_2"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    ("no  solution", "No solution."),
];

/// Pairs of equal value that have no exact form, and so no common text.
const CLOSE: &[(&str, &str)] = &[
    (r"\log_2 8", "3"),
    (r"\sin\frac{\pi}{6}", "0.5"),
    (r"\ln(2)", r"\ln 2"),
    (r"\sqrt[3]{2}", "2^{1/3}"),
    (r"\sqrt{3+2\sqrt{2}}", r"1+\sqrt{2}"),
    (r"2^{200}", r"4^{100}"),
    (r"(\ln 2, 1)", r"(-\ln\frac12, 1)"),
    (r"\frac{x+2}{x-3}", "(2+x)/(x-3)"),
    (r"\frac{1}{x}+\frac{1}{x+1}", r"\frac{2x+1}{x(x+1)}"),
    (r"e^{2x}", r"(e^x)^2"),
];

/// Pairs of different value.
const DIFFERENT: &[(&str, &str)] = &[
    ("1/3", "0.33"),
    ("1/3", "0.333333333333"),
    (r"\sqrt{2}", "1.41421356237"),
    ("π", "3.14159265358979"),
    (r"\pi", "22/7"),
    ("50\\%", "0.5"),
    ("5", "-5"),
    ("1234", "1, 234"),
    ("(1,2)", "(2,1)"),
    ("(1,2)", "[1,2]"),
    ("(1,2]", "[1,2)"),
    ("(1,2)", "1,2"),
    ("(1,234)", "1234"),
    (r"\{1,2\}", r"\{1,2,3\}"),
    (r"\{1\}", "1"),
    ("2^{3}", "2*3"),
    ("2 3", "6"),
    ("12", "1 2"),
    ("x+1", "x-1"),
    ("x^2", "2x"),
    ("x = 1, y = 2", "x = 2, y = 1"),
    (r"\frac{x+2}{x-3}", r"\frac{x+2}{x-2}"),
    ("e^x", "e^y"),
    ("x^2+y^2=1", "x^2+y^2=2"),
    ("a+b=5", "5"),
    (r"\infty", r"-\infty"),
    (r"2\sqrt{3}", r"3\sqrt{2}"),
    (r"\frac{2}{3}", r"\frac{3}{2}"),
    ("1000000000000000000000000000000000000000000000001", "1000000000000000000000000000000000000000000000002"),
    ("Paris", "London"),
    ("", "0"),
    ("1/0", "0"),
    ("10110_2", "10110"),
];

/// Answers and their canonical text.
const WRITTEN: &[(&str, &str)] = &[
    ("0.5", "1/2"),
    (r"\sqrt{12}", "2√3"),
    (r"-\frac{\sqrt{12}}{5}", "-2√3/5"),
    (r"\frac{3\pi}{4}", "3π/4"),
    (r"x^2 + 3yx - 1", "x^2+3x*y-1"),
    (r"(0, \frac{\pi}{2}]", "(0,π/2]"),
    ("3, 1, 2", r"\{1,2,3\}"),
    ("2e", "2*e"),
    (r"\ln 2", r"\ln2"),
    (r"\text{No solution}", "no solution"),
];

#[test]
fn equal_values_have_one_text() {
    let kind = AnswerKind::Math;
    for (a, b) in SAME {
        assert_eq!(normalise(&kind, a), normalise(&kind, b), "{a} and {b}");
        assert!(equal(&kind, a, b) && equal(&kind, b, a), "{a} and {b}");
    }
}

#[test]
fn values_without_an_exact_form_are_compared_as_numbers() {
    for (a, b) in CLOSE {
        assert!(equal(&AnswerKind::Math, a, b) && equal(&AnswerKind::Math, b, a), "{a} and {b}");
    }
}

#[test]
fn different_values_stay_apart() {
    for (a, b) in DIFFERENT {
        assert!(!equal(&AnswerKind::Math, a, b), "{a} and {b}");
        assert!(!equal(&AnswerKind::Math, b, a), "{b} and {a}");
    }
}

#[test]
fn the_canonical_text_reads_well() {
    for (answer, text) in WRITTEN {
        assert_eq!(normalise(&AnswerKind::Math, answer), *text);
    }
}

#[test]
fn integers_of_any_length_are_compared_by_digits() {
    let kind = AnswerKind::Integer;
    let long = format!("1{}", "0".repeat(80));
    for (a, b) in [
        ("1,234", "1234"),
        ("1 234", "1234"),
        ("007", "7"),
        ("+7", "7"),
        ("\u{2212}7", "-7"),
        ("7.0", "7"),
        ("$7$", "7"),
        (r"7^\circ", "7"),
        (r"7\%", "7"),
        ("7 m", "7"),
        (r"7\text{ apples}", "7"),
        ("x = 7", "7"),
        ("14/2", "7"),
        (r"10^{80}", long.as_str()),
        (long.as_str(), long.as_str()),
    ] {
        assert!(equal(&kind, a, b), "{a} and {b}");
    }
    let longer = format!("{}1", &long[..80]);
    for (a, b) in [("7", "8"), ("7", "7.5"), ("-7", "7"), (long.as_str(), longer.as_str()), ("12", "1, 2")] {
        assert!(!equal(&kind, a, b), "{a} and {b}");
    }
}

#[test]
fn choices_are_letters() {
    let kind = AnswerKind::Choice;
    for text in ["B", "b", "(B)", "B.", "B) 42", "**B**", r"\text{B}", r"\textbf{(B)}", "Option B", "$B$"] {
        assert_eq!(normalise(&kind, text), "B", "{text}");
    }
    assert!(!equal(&kind, "A", "B"));
}

#[test]
fn exact_text_differs_by_anything_but_white_space() {
    let kind = AnswerKind::Exact;
    assert!(equal(&kind, " 2^2 *  3\n", "2^2 * 3"));
    assert!(!equal(&kind, "2^2*3", "12"));
    assert!(!equal(&kind, "Paris", "paris"));
}

#[test]
fn the_answer_is_found_in_a_reply() {
    let regex: AnswerKind = "regex:total=(\\d+)".parse().unwrap();
    for (kind, reply, answer) in [
        (&AnswerKind::Integer, r"<think>\boxed{1}</think> So \boxed{2}.", Some("2")),
        (&AnswerKind::Integer, r"\boxed{1}, no: \boxed{1,234}", Some("1,234")),
        (&AnswerKind::Integer, r"\boxed{ 12 } and \boxed{13", Some("12")),
        (&AnswerKind::Integer, "The answer is 42, since 6 times 7 is 42.0.", Some("42")),
        (&AnswerKind::Integer, "The answer is the sum of 3 and 4: 7.", Some("7")),
        (&AnswerKind::Integer, "**Final Answer:** 17", Some("17")),
        (&AnswerKind::Integer, "3 + 4 = 7, which took 2 steps", Some("7")),
        (&AnswerKind::Integer, "First 3, then \u{2212}9.", Some("\u{2212}9")),
        (&AnswerKind::Integer, "It cannot be done.", None),
        (&AnswerKind::Math, r"\boxed{\frac{\sqrt{2}}{\{2\}}}", Some(r"\frac{\sqrt{2}}{\{2\}}")),
        (&AnswerKind::Math, r"\fbox{x}", Some("x")),
        (&AnswerKind::Math, r"The answer is \(\frac{1}{2}\).", Some(r"\frac{1}{2}")),
        (&AnswerKind::Math, "answer: 3/4", Some("3/4")),
        (&AnswerKind::Math, r"so p = \frac{3}{4}.", Some(r"\frac{3}{4}")),
        (&AnswerKind::Choice, r"\boxed{\text{C}}", Some("C")),
        (&AnswerKind::Choice, "Not (A). The answer is D.", Some("D")),
        (&AnswerKind::Choice, "none of them", None),
        (&AnswerKind::Exact, r"\boxed{\text{red, blue}}", Some("red, blue")),
        (&AnswerKind::Exact, "I think so.\nThe answer is: red", Some("red")),
        (&regex, "total=3 total=12 of 40", Some("12")),
        (&regex, r"\boxed{12}", None),
    ] {
        assert_eq!(extract(kind, reply).as_deref(), answer, "{kind}: {reply}");
    }
}
