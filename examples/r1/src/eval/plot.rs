//! A small line chart as SVG.

use std::fmt::Write;

/// Accuracy against something that doubles.
#[derive(Debug)]
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) x_label: &'a str,
    pub(super) lines: Vec<Line<'a>>,
}

#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    /// What is on the x axis, and the part that is right, 0 to 1. In ascending order.
    pub(super) points: Vec<(u64, f64)>,
}

const SIZE: (f64, f64) = (640.0, 400.0);
/// The plot's edges.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 616.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 336.0;
/// Told apart by readers who cannot tell red from green, too.
const COLOURS: [&str; 4] = ["#0b6fb8", "#d55e00", "#555555", "#009e73"];

impl Chart<'_> {
    /// The chart as a file's text.
    pub(super) fn svg(&self) -> String {
        let mut svg = String::new();
        let (width, height) = SIZE;
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>"
        );
        text(&mut svg, (LEFT + RIGHT) / 2.0, 24.0, "middle", self.title);
        self.axes(&mut svg);
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            self.line(&mut svg, line, colour);
        }
        self.legend(&mut svg);
        svg + "</svg>\n"
    }

    fn axes(&self, svg: &mut String) {
        for step in 0..=5 {
            let part = f64::from(step) / 5.0;
            let (y, colour) = (height_of(part), if step == 0 { "#222" } else { "#ddd" });
            let _ = writeln!(svg, "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"{colour}\"/>");
            text(svg, LEFT - 8.0, y + 4.0, "end", &format!("{} %", step * 20));
        }
        for x in self.ticks() {
            let at = self.place_of(x);
            let _ = writeln!(svg, "<path d=\"M{at:.1} {BOTTOM}v5\" stroke=\"#222\"/>");
            text(svg, at, BOTTOM + 20.0, "middle", &x.to_string());
        }
        text(svg, (LEFT + RIGHT) / 2.0, BOTTOM + 46.0, "middle", self.x_label);
    }

    fn line(&self, svg: &mut String, line: &Line<'_>, colour: &str) {
        let points: Vec<(f64, f64)> =
            line.points.iter().map(|(x, part)| (self.place_of(*x), height_of(*part))).collect();
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (x, y) in points {
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>");
        }
    }

    /// Names of the lines, above the lower right corner, where accuracy seldom is.
    fn legend(&self, svg: &mut String) {
        let first = BOTTOM - 14.0 - 20.0 * (self.lines.len().saturating_sub(1)) as f64;
        for (at, (line, colour)) in self.lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let y = first + 20.0 * at as f64;
            let _ = writeln!(
                svg,
                "<path d=\"M{} {:.1}h24\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                RIGHT - 160.0,
                y - 4.0
            );
            text(svg, RIGHT - 128.0, y, "start", line.name);
        }
    }

    /// All values on the x axis, in order.
    fn ticks(&self) -> Vec<u64> {
        let mut ticks: Vec<u64> = self.lines.iter().flat_map(|line| line.points.iter().map(|(x, _)| *x)).collect();
        ticks.sort_unstable();
        ticks.dedup();
        ticks
    }

    /// Doublings are equally far apart; 0 is one doubling below the rest.
    fn place_of(&self, x: u64) -> f64 {
        let ticks = self.ticks();
        let smallest = ticks.iter().find(|tick| **tick > 0).map_or(0.0, |tick| (*tick as f64).log2());
        let doublings = |x: u64| if x == 0 { smallest - 1.0 } else { (x as f64).log2() };
        let (Some(low), Some(high)) = (ticks.first(), ticks.last()) else { return LEFT };
        let (low, high) = (doublings(*low), doublings(*high));
        let part = if high > low { (doublings(x) - low) / (high - low) } else { 0.5 };
        // Some room on both sides keeps the points off the axis.
        LEFT + 20.0 + part * (RIGHT - LEFT - 40.0)
    }
}

fn height_of(part: f64) -> f64 {
    BOTTOM - part.clamp(0.0, 1.0) * (BOTTOM - TOP)
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doublings_are_equally_far_apart_and_text_is_escaped() {
        let points = vec![(0, 0.0), (32, 0.25), (64, 0.5), (128, 1.0)];
        let chart = Chart { title: "a < b & c", x_label: "tokens", lines: vec![Line { name: "pass@1", points }] };
        let places: Vec<f64> = chart.ticks().iter().map(|x| chart.place_of(*x)).collect();
        let gaps: Vec<f64> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| (gap - gaps[0]).abs() < 1e-9 && *gap > 0.0), "{gaps:?}");
        assert!(places[0] > LEFT && places[3] < RIGHT);
        let svg = chart.svg();
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains(">128</text>") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<circle").count(), 4);
    }

    #[test]
    fn a_single_point_and_no_point_are_drawn() {
        let line = |points| Chart { title: "", x_label: "", lines: vec![Line { name: "", points }] }.svg();
        assert!(!line(vec![(16, 0.5)]).contains("NaN"));
        assert!(line(vec![]).contains("<polyline"));
    }
}
